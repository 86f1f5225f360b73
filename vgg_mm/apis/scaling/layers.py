"""Parameters and multiply-adds of each layer of any classifier."""

from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS


class LayerCost(NamedTuple):
    """A module with weights of its own.

    ``tensors`` are the sizes of its trainable tensors as they are registered; ``multiply_adds``
    are those of the forward pass of one image.
    """

    name: str
    tensors: tuple[int, ...]
    multiply_adds: int

    @property
    def parameters(self) -> int:
        return sum(self.tensors)


def build_model(cfg: Config) -> nn.Module:
    """The model of a config, in training mode (which freezes what the config wants frozen)."""
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        return MODELS.build(cfg.model).train()


def layer_costs(model: nn.Module, size: int) -> list[LayerCost]:
    """The layers in the order of the forward pass of a ``size`` x ``size`` image.

    A weight is used once at every position of its layer's output: for convolutions, matrix products
    and norms alike the multiply-adds are positions times weights. Biases are not counted.

    Raises:
        ValueError: if a trainable parameter is not used in the forward pass.
    """
    multiply_adds: dict[str, int] = {}
    tensors: dict[str, tuple[int, ...]] = {}
    handles = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            tensors[name] = tuple(p.numel() for p in own if p.requires_grad)
            handles.append(module.register_forward_hook(_counter(name, multiply_adds)))
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, size, size), mode='tensor')
    for handle in handles:
        handle.remove()
    unused = [name for name, sizes in tensors.items() if sizes and name not in multiply_adds]
    if unused:
        raise ValueError(f'the forward pass does not use the parameters of {unused[0]}')
    return [LayerCost(name, tensors[name], count) for name, count in multiply_adds.items()]


def _counter(name: str, multiply_adds: dict[str, int]):
    def count(module: nn.Module, inputs, output) -> None:
        weight = getattr(module, 'weight', None)
        counted = isinstance(weight, torch.Tensor) and isinstance(output, torch.Tensor)
        positions = output.numel() // len(weight) if counted else 0
        added = positions * weight.numel() if counted else 0
        multiply_adds[name] = multiply_adds.get(name, 0) + added

    return count
