"""MatConvNet's VGG: the authors' names, kernels H-W-in-out, fc6 to fc8 as convolutions, RGB."""

import re
from typing import Optional

import torch

from ..preprocessing import CENTRED_RGB
from .layout import Layout, Table, conv_names

FC = {name: name for name in ('fc6', 'fc7', 'fc8')}

_LAYER = re.compile(r'layers/(\w+)/([01])')


def _tables(arch: str) -> list[Table]:
    return [{f'conv{name}': f'conv{name}' for block in conv_names(arch) for name in block} | FC]


def _layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    match = _LAYER.fullmatch(name)
    return match and (match[1], ('weight', 'bias')[int(match[2])])


def _tensor_of(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    if kind == 'bias':
        return tensor.flatten()
    # MATLAB leaves out last dimensions of 1.
    tensor = tensor.reshape(*tensor.shape, *(1,) * (4 - tensor.ndim)).permute(3, 2, 0, 1)
    return (tensor.flatten(1) if layer.startswith('fc') else tensor).contiguous()


MATCONVNET = Layout(
    name='MatConvNet',
    looks_like='layers/conv1_1/0',
    preprocessing=CENTRED_RGB,
    tables=_tables,
    layer_of=_layer_of,
    tensor_of=_tensor_of,
)
