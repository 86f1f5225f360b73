"""Keras's VGG: kernels in the order H-W-in-out, and fc1 takes the map in the order H-W-C.

The published files and those of ``model.save('...h5')`` name the layers (``block1_conv1``);
``model.save_weights('....weights.h5')`` of Keras 3 numbers them (``layers/conv2d_1``).
"""

import math
import re
from typing import Optional

import torch

from ..preprocessing import CENTRED_BGR
from .layout import Layout, Table, conv_names

FC = {'fc1': 'fc6', 'fc2': 'fc7', 'predictions': 'fc8'}
NUMBERED_FC = {'dense': 'fc6', 'dense_1': 'fc7', 'dense_2': 'fc8'}

_LAYER = re.compile(r'(?:^|/)(block\d_conv\d|fc[12]|predictions)/')
_NUMBERED = re.compile(r'(?:^|/)layers/((?:conv2d|dense)(?:_\d+)?)/vars/[01]$')


def _tables(arch: str) -> list[Table]:
    names = [name for block in conv_names(arch) for name in block]
    named = {'block{}_conv{}'.format(*name.split('_')): f'conv{name}' for name in names}
    numbered = {f'conv2d_{i}' if i else 'conv2d': f'conv{name}' for i, name in enumerate(names)}
    return [named | FC, numbered | NUMBERED_FC]


def _layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    # Optimisers keep arrays under the layers' names, too.
    match = None if 'optimizer' in name else _LAYER.search(name) or _NUMBERED.search(name)
    return match and (match[1], 'bias' if tensor.ndim == 1 else 'weight')


def _tensor_of(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    if kind == 'bias':
        return tensor
    if layer.startswith('conv'):
        return tensor.permute(3, 2, 0, 1).contiguous()
    if layer != 'fc6':
        return tensor.t().contiguous()
    side = math.isqrt(len(tensor) // channels)
    if side * side * channels != len(tensor):
        raise ValueError(f'fc1 takes {len(tensor)} numbers, no square map of {channels} channels')
    kernel = tensor.reshape(side, side, channels, -1)
    return kernel.permute(3, 2, 0, 1).flatten(1).contiguous()


KERAS = Layout(
    name='Keras',
    looks_like='block1_conv1/kernel',
    preprocessing=CENTRED_BGR,
    tables=_tables,
    layer_of=_layer_of,
    tensor_of=_tensor_of,
)
