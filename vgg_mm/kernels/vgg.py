"""A VGG that runs its layers in the memory format, and in the pairs, that are fastest."""

from functools import cache
from typing import Any

import torch

from vgg_mm.models.backbones.vgg import VGG, Maps

from .conditions import can_accelerate
from .conv_relu import can_fuse, is_autocast_to_bfloat16, run_with_relu


class FasterVGG(VGG):
    """The base that :func:`faster_vgg` adds before VGG or a class derived from it.

    Maps inside are in channels_last where convolutions are faster so. Its outputs always have the
    default format, in which mmcv's operators (RoIAlign) read memory.
    """

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not _is_faster_in_channels_last(x):
            return super().forward(x)
        maps = super().forward(x.to(memory_format=torch.channels_last))
        return tuple(one.contiguous() for one in maps)

    def _run(self, block: int, x: torch.Tensor) -> tuple[torch.Tensor, Maps]:
        """As VGG's, a convolution (or its norm) and its ReLU in one."""
        asked_for = {self._sources[index] for index in self.out_indices}
        maps = {}
        names = list(self._blocks[block])
        while names:
            name = names.pop(0)
            layer = getattr(self, name)
            if names and name not in asked_for and can_fuse(layer, getattr(self, names[0]), x):
                name = names.pop(0)
                x = run_with_relu(layer, x)
            else:
                x = layer(x)
            if name in asked_for:
                maps[name] = x
        return x, maps

    def __reduce_ex__(self, protocol: Any) -> tuple:
        """Pickled is the plain class: this one is made here, and cannot be found by its name."""
        _, _, *state = super().__reduce_ex__(max(2, protocol))
        return _new, (plain_vgg(type(self)),), *state


@cache
def faster_vgg(plain: type[VGG]) -> type[VGG]:
    """The faster form of VGG or a class derived from it; its name is the same."""
    return type(plain.__name__, (FasterVGG, plain), {'__qualname__': plain.__qualname__})


def plain_vgg(kind: type) -> type[VGG]:
    """The class that :func:`faster_vgg` made this one of."""
    return kind.__mro__[kind.__mro__.index(FasterVGG) + 1]


def _new(plain: Any) -> VGG:
    kind: Any = faster_vgg(plain)
    return kind.__new__(kind)


def _is_faster_in_channels_last(x: torch.Tensor) -> bool:
    if not can_accelerate(x) or x.dim() != 4:
        return False
    if x.device.type == 'cuda':
        return not torch.is_grad_enabled() or is_autocast_to_bfloat16(x)
    return x.device.type == 'cpu' and x.dtype in (torch.float32, torch.bfloat16)
