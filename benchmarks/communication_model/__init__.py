"""Traffic and time of a training step on 1 to 1,024 GPUs, computed from one GPU's step."""

from .report import scaling

__all__ = ['scaling']
