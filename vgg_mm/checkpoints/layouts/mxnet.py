"""MXNet's model zoo, whose VGG the ONNX zoo has: each kind of layer is counted from 0."""

import re
from typing import Optional

import torch

from ..preprocessing import STANDARDISED_RGB
from .layout import Layout, Table, conv_names, flat_fc

FC = {'dense0': 'fc6', 'dense1': 'fc7', 'dense2': 'fc8'}

KINDS = {'weight': 'weight', 'bias': 'bias', 'gamma': 'weight', 'beta': 'bias'}

_LAYER = re.compile(r'(?:vgg\d+_)?((?:conv|batchnorm|dense)\d+)_(\w+)')


def _tables(arch: str) -> list[Table]:
    names = [name for block in conv_names(arch) for name in block]
    convs = {f'conv{i}': f'conv{name}' for i, name in enumerate(names)}
    norms = {f'batchnorm{i}': f'bn{name}' for i, name in enumerate(names)}
    return [convs | FC, convs | norms | FC]


def _layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    match = _LAYER.fullmatch(name)
    return match and (match[1], KINDS.get(match[2], match[2]))


MXNET = Layout(
    name='MXNet',
    looks_like='vgg0_conv0_weight',
    preprocessing=STANDARDISED_RGB,
    tables=_tables,
    layer_of=_layer_of,
    tensor_of=flat_fc,
)
