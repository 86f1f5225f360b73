"""Keras's VGG: kernels in the order H-W-in-out, and fc1 takes the map in the order H-W-C.

The published files and those of ``model.save('...h5')`` name the layers (``block1_conv1``), of nets
of one's own they number them (``conv2d_1``), as ``model.save_weights('....weights.h5')`` of Keras 3
does. Files of 2015 and 2016 for Theano have kernels in the order out-in-H-W, most of them turned by
180 degrees.
"""

import re
from typing import Optional

import torch

from ..known_weights import identify
from ..preprocessing import CENTRED_BGR
from .layout import Layout, Table, Weights, conv_names, from_hwc, module_indices

FC = {'fc1': 'fc6', 'fc2': 'fc7', 'predictions': 'fc8'}
NUMBERED_FC = {'dense': 'fc6', 'dense_1': 'fc7', 'dense_2': 'fc8'}
#: Of Keras 1, which counted from 1.
OLD_FC = {'dense_1': 'fc6', 'dense_2': 'fc7', 'dense_3': 'fc8'}

_LAYER = re.compile(r'(?:^|/)(block\d_conv\d|fc[12]|predictions)/')
_NUMBERED = re.compile(
    r'(?:^|/)((?:conv2d|convolution2d|dense)(?:_\d+)?)/'
    r'(?:vars/[01]|.*(?:kernel|bias|_W|_b)\w*(?::0)?)$'
)
_PARAMETER = re.compile(r'(?:^|/)(layer_\d+)/param_[01]$')


def _tables(arch: str) -> list[Table]:
    names = [name for block in conv_names(arch) for name in block]
    named = {'block{}_conv{}'.format(*name.split('_')): f'conv{name}' for name in names}
    numbered = {f'conv2d_{i}' if i else 'conv2d': f'conv{name}' for i, name in enumerate(names)}
    old = {f'convolution2d_{i}': f'conv{name}' for i, name in enumerate(names, 1)}
    return [named | FC, numbered | NUMBERED_FC, old | OLD_FC, _of_2015(arch)]


def _of_2015(arch: str) -> Table:
    """Every layer is counted: a padding before each convolution, poolings, then a flattening and
    dropouts."""
    convs = {f'layer_{i + 1}': f'conv{name}' for i, name in module_indices(arch, 2)}
    flattened = max(i for i, _ in module_indices(arch, 2)) + 3
    return convs | {f'layer_{flattened + 1 + 2 * i}': f'fc{6 + i}' for i in range(3)}


def _layer_of(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    if 'optimizer' in name:  # optimisers keep arrays under the layers' names, too
        return None
    match = _LAYER.search(name) or _NUMBERED.search(name) or _PARAMETER.search(name)
    return match and (match[1], 'bias' if tensor.ndim == 1 else 'weight')


def _without_averages(weights: Weights, meta: dict, sources: dict[str, str]) -> Weights:
    """Leave out layers after a global pooling, and refuse those that may be.

    A map of 1x1 that is flattened and a map that is averaged over give a number a channel: only
    the model's description tells.
    """
    fc6 = weights.get('head.fc6.weight')
    named = _LAYER.search(sources.get('head.fc6.weight', ''))
    channels = max(len(t) for name, t in weights.items() if name.startswith('backbone.'))
    if fc6 is None or named or fc6.shape[1] > channels:
        return weights
    if 'flattens' not in meta:
        raise ValueError(
            f'{sources["head.fc6.weight"]} takes {fc6.shape[1]} numbers, one a channel: whether a '
            'map of 1x1 was flattened (VGG) or any map averaged over cannot be told. Save the '
            "whole model, which says it: model.save('NAME.keras')"
        )
    if meta['flattens']:
        return weights
    return {name: tensor for name, tensor in weights.items() if not name.startswith('head.')}


def _of_theano(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """fc1 takes the map in the order C-H-W, as in PyTorch."""
    return tensor.t().contiguous() if tensor.ndim == 2 else tensor


def _unrotated(weights: Weights, meta: dict, sources: dict[str, str]) -> Weights:
    """Kernels for a correlation. Which way they are is told by whose the first one is."""
    first = 'backbone.conv1_1.weight'
    identity = identify(weights[first], weights.get('backbone.conv1_1.bias'))
    if identity is None:
        raise ValueError(
            f'{sources[first]} is in the order of Theano: whether its kernels are turned by 180 '
            "degrees (th_kernels) or not (tf_kernels) is known of the authors' only. Save the "
            'weights with Keras 2 or newer'
        )
    turned = {
        name: tensor.flip(2, 3) if identity.rotated and tensor.ndim == 4 else tensor
        for name, tensor in weights.items()
    }
    return _without_averages(turned, meta, sources)


KERAS = Layout(
    name='Keras',
    looks_like='block1_conv1/kernel',
    preprocessing=CENTRED_BGR,
    tables=_tables,
    layer_of=_layer_of,
    tensor_of=from_hwc,
    positional=True,
    finish=_without_averages,
)

KERAS_THEANO = KERAS._replace(
    name='Keras for Theano',
    tensor_of=_of_theano,
    finish=_unrotated,
)
