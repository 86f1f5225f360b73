"""What a training step sends and costs on 1 to 1,024 GPUs, computed from one GPU's step."""

from .layers import LayerCost, build_model, layer_costs
from .network import Network
from .report import scaling_report
from .timeline import StepTime

__all__ = ['LayerCost', 'Network', 'StepTime', 'build_model', 'layer_costs', 'scaling_report']
