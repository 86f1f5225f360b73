"""The definition of a layout: a library's names for the layers of VGG."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Optional

import torch

from vgg_mm.architectures import ARCHITECTURES

from ..preprocessing import Preprocessing
from ..weights import WRAPPERS, Weights

#: layer of the file -> layer of this package ('conv1_1', 'bn1_1', 'fc6')
Table = dict[str, str]


class Layout(NamedTuple):
    """One library's way to store VGG.

    Args:
        name: The library.
        looks_like: Example names, for messages.
        preprocessing: What weights published in this layout expect; None: not known.
        tables: Function of one of :data:`ARCHITECTURES` that gives the possible tables.
        layer_of: Name of a weight -> its layer and 'weight', 'bias', 'running_mean' ...; None if it
            is of no layer.
        tensor_of: (layer of this package, 'weight' or the like, tensor of the file, channels of the
            last map) -> the tensor as this package stores it.
        applies: Whether weights with these names can be of this layout.
        positional: Whether fully-connected layers are known by their places in a list, so that two
            of them are ambiguous.
        finish: (weights as this package stores them, the file's ``meta``, names in the file) -> the
            same, after steps that need all of them; raises a ValueError if they are ambiguous.
    """

    name: str
    looks_like: str
    preprocessing: Optional[Preprocessing]
    tables: Callable[[str], list[Table]]
    layer_of: Callable[[str, torch.Tensor], Optional[tuple[str, str]]]
    tensor_of: Callable[[str, str, torch.Tensor, int], torch.Tensor]
    applies: Callable[[Weights], bool] = lambda weights: True
    positional: bool = False
    finish: Callable[[Weights, dict, dict[str, str]], Weights] = lambda weights, *_: weights


def split_name(name: str, tensor: torch.Tensor) -> Optional[tuple[str, str]]:
    """PyTorch's way: 'features.0.weight' -> ('features.0', 'weight')."""
    # nn.DataParallel and torch.compile add their names at any level.
    layer, _, kind = name.rpartition('.')
    layer = '.'.join(part for part in layer.split('.') if part not in WRAPPERS)
    return (layer, kind) if layer else None


def flat_fc(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """fc6 to fc8 in FC form, (out, in * k * k), from either form; other tensors as they are."""
    return tensor.flatten(1) if layer.startswith('fc') and kind == 'weight' else tensor


def module_indices(arch: str, step: int) -> Iterator[tuple[int, str]]:
    """Index of each convolution in an ``nn.Sequential`` of layers, and the end of its name: '1_1'.

    ``step`` modules are from a convolution to the next of its block; a pooling follows each block.
    """
    index = 0
    for block, kernels in enumerate(ARCHITECTURES[arch].kernels, 1):
        for number in range(1, len(kernels) + 1):
            yield index, f'{block}_{number}'
            index += step
        index += 1


def conv_names(arch: str) -> list[str]:
    """'1_1', '1_2', '2_1', ... of a net."""
    return [name for _, name in module_indices(arch, 1)]


def sequential_tables(arch: str, prefix: str, *fc: Table) -> list[Table]:
    """Tables of nets like torchvision's, ``features`` a list of all layers: without and with norms.

    ``prefix`` is before the convolutions' numbers, ``fc`` are the possible names of fc6 to fc8.
    """
    plain = {f'{prefix}{i}': f'conv{name}' for i, name in module_indices(arch, 2)}
    with_norms = {f'{prefix}{i}': f'conv{name}' for i, name in module_indices(arch, 3)}
    with_norms |= {f'{prefix}{i + 1}': f'bn{name}' for i, name in module_indices(arch, 3)}
    return [convs | names for convs in (plain, with_norms) for names in fc]


def reduced_fc(arch: str, prefix: str) -> Table:
    """fc6 and fc7 as SSD has them: convolutions in the same list, after the last pooling."""
    last = max(i for i, _ in module_indices(arch, 2))
    return {f'{prefix}{last + 3}': 'fc6', f'{prefix}{last + 5}': 'fc7'}


def without_head(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if not name.startswith('head.')}


def from_hwc(layer: str, kind: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """From kernels in the order H-W-in-out and fully-connected layers as (in, out), of which fc6
    takes a map in the order H-W-C.

    Raises:
        ValueError: if fc6 is for no square map.
    """
    if kind == 'bias':
        return tensor.flatten()
    if tensor.ndim == 4:
        kernel = tensor.permute(3, 2, 0, 1)
        return (kernel.flatten(1) if layer.startswith('fc') else kernel).contiguous()
    if layer != 'fc6':
        return tensor.t().contiguous()
    side = math.isqrt(len(tensor) // channels)
    if side * side * channels != len(tensor):
        raise ValueError(f'fc6 has {len(tensor)} inputs, no square map of {channels} channels')
    return tensor.reshape(side, side, channels, -1).permute(3, 2, 0, 1).flatten(1).contiguous()
