"""Parameters and multiply-adds of each layer of a config's model, whatever its widths."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from vgg_mm.apis.chain.estimate import crop_size
from vgg_mm.apis.net_table import multiply_adds


class LayerCost(NamedTuple):
    """A module that has weights itself.

    ``tensors`` are the sizes of its trainable tensors in the order of registration,
    ``multiply_adds`` those of one image's forward pass.
    """

    name: str
    tensors: tuple[int, ...]
    multiply_adds: int

    @property
    def parameters(self) -> int:
        return sum(self.tensors)


def layer_costs(cfg: Config) -> list[LayerCost]:
    """The layers of the config's model in the order of its forward pass, at its crop size.

    Raises:
        ValueError: in one line, if the pipeline does not say the size of its crops, or no trainable
            parameter takes part in the forward pass.
    """
    size = crop_size(cfg)
    if size is None:
        raise ValueError(f'{cfg.filename}: no step of the training pipeline has a crop_size')
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(cfg.model)
    model.train()  # freezes what the config says
    counted: dict[str, int] = {}
    tensors: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            tensors[name] = tuple(p.numel() for p in own if p.requires_grad)
            module.register_forward_hook(counter(name, counted))
    # Only shapes are propagated: nothing is computed.
    model.eval().to('meta')
    with torch.no_grad():
        model(torch.zeros(1, 3, size, size, device='meta'), mode='tensor')
    layers = [LayerCost(name, tensors[name], count) for name, count in counted.items()]
    if not backward_multiply_adds(layers):
        raise ValueError(f'{cfg.filename}: the model has no parameters to train')
    return layers


def counter(name: str, counted: dict[str, int]) -> Callable:
    """A forward hook that adds a layer's multiply-adds to the count of its name."""

    def count(module: nn.Module, inputs: tuple, output) -> None:
        counted[name] = counted.get(name, 0) + multiply_adds(module, output)

    return count


def backward_multiply_adds(layers: Sequence[LayerCost]) -> list[int]:
    """Multiply-adds of each layer's backward pass for one image.

    The gradients of inputs and of weights take as many as a forward pass each. The inputs of the
    first trainable layer need no gradient, and nothing is computed for the layers before it. Empty
    if there is no trainable layer.
    """
    first = next((i for i, layer in enumerate(layers) if layer.parameters), None)
    if first is None:
        return []
    return [
        layer.multiply_adds * ((i > first) + bool(layer.parameters)) if i >= first else 0
        for i, layer in enumerate(layers)
    ]
