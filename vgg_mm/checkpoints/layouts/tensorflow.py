"""The authors' weights as TensorFlow users have them: kernels H-W-in-out, fc6 for maps in H-W-C.

``vgg16.npy`` and ``vgg19.npy`` are dicts of lists (``conv1_1`` -> kernel, bias), or of dicts (of
``caffe-tensorflow``); ``vgg16_weights.npz`` has ``conv1_1_W`` and ``conv1_1_b``, for RGB images.
"""

import re
from typing import Optional

import torch

from ..preprocessing import CENTRED_BGR
from .layout import Layout, Table, conv_names, from_hwc

FC = {name: name for name in ('fc6', 'fc7', 'fc8')}

_LAYER = re.compile(r'(conv\d_\d|fc\w+)[_/](?:W|b|weights|biases|[01])(?:/0)?')


def _tables(arch: str) -> list[Table]:
    return [{f'conv{name}': f'conv{name}' for block in conv_names(arch) for name in block} | FC]


def _layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    match = _LAYER.fullmatch(name)
    return match and (match[1], 'bias' if tensor.ndim == 1 else 'weight')


TENSORFLOW = Layout(
    name='TensorFlow',
    looks_like='conv1_1_W',
    preprocessing=CENTRED_BGR,
    tables=_tables,
    layer_of=_layer_of,
    tensor_of=from_hwc,
)
