"""The authors' release for Caffe: the layers' names are this package's.

Images are BGR minus the mean, and fc6 takes the map in the order C-H-W, as in PyTorch. Caffe2 adds
``_w`` and ``_b`` to the names.
"""

import re
from typing import Optional

import torch

from ..preprocessing import CENTRED_BGR
from .layout import Layout, Table, conv_names, flat_fc

#: Caffe numbers a layer's weights.
BLOBS = {'0': 'weight', '1': 'bias'}

FC = {name: name for name in ('fc6', 'fc7', 'fc8')}


def _tables(arch: str) -> list[Table]:
    return [{f'conv{name}': f'conv{name}' for block in conv_names(arch) for name in block} | FC]


_CAFFE2 = re.compile(r'(\w+)_([wb])(?:_0)?')


def _layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    layer, _, number = name.rpartition('.blobs.')
    if match := _CAFFE2.fullmatch(name):
        return match[1], {'w': 'weight', 'b': 'bias'}[match[2]]
    return (layer, BLOBS[number]) if layer and number in BLOBS else None


def _tensor_of(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """Without the dimensions of 1 that files of 2014 put before those of a weight."""
    if kind == 'bias':
        return tensor.flatten()
    if tensor.ndim == 4 and layer.startswith('fc') and tensor.shape[:2] == (1, 1):
        return tensor[0, 0]
    return flat_fc(layer, kind, tensor, channels)


CAFFE = Layout(
    name='Caffe',
    looks_like='conv1_1.blobs.0',
    preprocessing=CENTRED_BGR,
    tables=_tables,
    layer_of=_layer_of,
    tensor_of=_tensor_of,
)
