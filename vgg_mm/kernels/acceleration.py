"""Putting faster forms of layers into a model, and removing them."""

from typing import TypeVar

import torch.nn as nn
from torch.nn.utils import parametrize

from vgg_mm.models.backbones.vgg import VGG

from .lrn import BandLocalResponseNorm
from .max_pool import LeanMaxPool2d
from .vgg import FasterVGG, faster_vgg, plain_vgg
from .winograd import WinogradConv2d

Model = TypeVar('Model', bound=nn.Module)

#: torch's layer -> its faster form, a class derived from it.
FASTER = {
    nn.Conv2d: WinogradConv2d,
    nn.MaxPool2d: LeanMaxPool2d,
    nn.LocalResponseNorm: BandLocalResponseNorm,
}

PLAIN = {faster: plain for plain, faster in FASTER.items()}


def accelerate(model: Model, on: bool = True) -> Model:
    """Put faster forms of layers into a model, in place; or remove them.

    >>> model = accelerate(torchvision.models.vgg16())

    Layers stay the same objects, with their parameters, hooks and names in state dicts;
    only their class is replaced by one derived from torch's. Each decides at every call whether it
    helps: a 3x3 convolution or a pooling on the CPU, a VGG's convolution with its ReLU on a GPU in
    bfloat16. Everywhere else it is torch's layer: under autocast, compiling, exporting, tracing,
    ``torch.func``, in float64, on other devices. Results agree to float32's rounding.

    Args:
        model: Any model, before or after it was moved, wrapped or loaded. Layers of classes other
            than torch's own stay as they are.
        on: False removes all faster forms, also those that a config named.

    Returns:
        The model.

    Raises:
        TypeError: if it is no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f'accelerate: expects a torch.nn.Module, got {type(model).__name__}')
    for module in model.modules():
        kind = type(module)
        wanted = _faster(module, kind) if on else _plain(module, kind)
        if wanted is not kind:
            module.__class__ = wanted
    return model


def _faster(module: nn.Module, kind: type) -> type:
    if type(module) is nn.Conv2d and not WinogradConv2d.suits(module):
        return kind
    if kind in FASTER:
        return FASTER[kind]
    if issubclass(kind, VGG):
        return kind if issubclass(kind, FasterVGG) else faster_vgg(kind)  # type: ignore[arg-type]
    return kind


def _plain(module: nn.Module, kind: type) -> type:
    if kind in PLAIN:
        return PLAIN[kind]
    if issubclass(kind, FasterVGG):
        return plain_vgg(kind)
    if parametrize.is_parametrized(module) and kind.__base__ in PLAIN:
        # torch has derived a class for this layer; made once more, of the plain one.
        slots = ('__dict__', '__weakref__')
        own = {name: value for name, value in vars(kind).items() if name not in slots}
        plain = PLAIN[kind.__base__]
        return type(f'Parametrized{plain.__name__}', (plain,), own)
    return kind
