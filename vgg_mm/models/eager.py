"""Where layers of this package's own step aside."""

import torch


def is_recorded() -> bool:
    """Whether the model is being traced, exported or compiled: torch's layers are wanted then."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()
