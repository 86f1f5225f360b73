"""Common functions of the readers of checkpoints."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import torch

from vgg_mm.text import first_few

#: Maximum number of wrong weights that an error names.
MAX_NAMED = 3

Weights = dict[str, torch.Tensor]

#: The first weight of a classifier, in this package's names.
FIRST_WEIGHT = 'backbone.conv1_1.weight'

#: Where files have their state dict; mmengine's first. '' is the file itself.
CONTAINERS = (
    'state_dict', '', 'model_state_dict', 'model', 'net', 'network', 'weights', 'params',
)  # fmt: skip

#: Entries with tensors that are no state dict of a net.
NO_CONTAINERS = ('meta', 'message_hub', 'optimizer', 'conversion')

#: What nn.DataParallel and torch.compile add to names.
WRAPPERS = ('module', '_orig_mod')


def weights_of(checkpoint: dict, required: bool = True) -> Weights:
    """The state dict in a checkpoint, or the checkpoint itself if it is one.

    It may be one level down, under one of :data:`CONTAINERS`, which training scripts use, or any
    other key.

    Raises:
        ValueError: if there is no tensor in it, and one is ``required``.
    """
    found = state_dicts(checkpoint)
    plain = [name for name in found if not is_averaged(name)] or list(found)
    known = [name for name in CONTAINERS if name in plain]
    weights = found[(known or plain)[0]] if plain else {}
    if required and not weights:
        raise ValueError(f'no weights found; the file contains {", ".join(map(str, checkpoint))}')
    return weights


def recorded_classes(checkpoint: dict) -> Optional[Sequence[str]]:
    """The names of the classes that a checkpoint was trained on, where it has them.

    MMDetection writes those of each of several joined data sets; the first's are used.
    """
    recorded = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    if isinstance(recorded, (list, tuple)):
        recorded = recorded[0]
    return recorded.get('classes')


def state_dicts(checkpoint: dict) -> dict[str, Weights]:
    """All state dicts in a checkpoint: container -> weights; '' is the checkpoint itself.

    ``module.`` and ``_orig_mod.`` before the names, of ``DataParallel`` and ``torch.compile``, are
    left out.
    """
    found = {}
    for name, value in [('', checkpoint), *checkpoint.items()]:
        if isinstance(value, dict) and isinstance(name, str) and name not in NO_CONTAINERS:
            tensors = {k: as_tensor(v) for k, v in value.items() if isinstance(k, str)}
            weights = {unwrapped(k): t for k, t in tensors.items() if t is not None}
            if weights or name == 'state_dict':
                found[name] = weights
    return found


def averaged_weights(checkpoint: dict) -> tuple[str, Weights]:
    """Weights averaged over a training (EMA), if the checkpoint has them in addition to plain ones.

    With their container, or the prefix of their names; without any '' and {}.
    """
    # mmengine's EMAHook leaves the averaged ones in state_dict, the plain ones in ema_state_dict.
    if 'ema_state_dict' in checkpoint and 'state_dict' in checkpoint:
        return '', {}
    found = state_dicts(checkpoint)
    for name, weights in found.items():
        if is_averaged(name):
            return name, weights
    state = weights_of(checkpoint, required=False)
    weights = {name: tensor for name, tensor in state.items() if is_averaged(name)}
    beside = 0 < len(weights) < len(state)
    return (next(iter(weights)).split('.')[0], weights) if beside else ('', {})


def is_averaged(name: str) -> bool:
    """Whether a name is one that averaged weights have: model_ema, ema_model, params_ema, ..."""
    return 'ema' in re.split(r'[._]', name.lower())


def as_tensor(value: Any) -> Optional[torch.Tensor]:
    """A tensor, or an array of floating-point numbers as one; None of anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind == 'f':
        # In the machine's own order of bytes, writable.
        return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder('=')))
    return value if isinstance(value, torch.Tensor) else None


def unwrapped(name: str) -> str:
    """A weight's name without the prefixes of wrappers."""
    first, _, rest = name.partition('.')
    return unwrapped(rest) if first in WRAPPERS and rest else name


def fits(source: torch.Size, target: torch.Size) -> bool:
    """Whether a weight of shape ``source`` can be stored as ``target``.

    The same shape, or a fully-connected layer in its other form: (out, in * k * k) and
    (out, in, k, k).
    """
    if source == target:
        return True
    return (
        {len(source), len(target)} == {2, 4}
        and source[0] == target[0]
        and source.numel() == target.numel()
    )


def misfits(weights: Weights, target: Weights) -> dict[str, str]:
    """Weights of another shape than the model's: name -> what is wrong."""
    return {
        name: f'{name} is {tuple(weights[name].shape)}, '
        f'the model expects {tuple(target[name].shape)}'
        for name in sorted(weights.keys() & target.keys())
        if not fits(weights[name].shape, target[name].shape)
    }


def other_classes(weights: Weights, target: Weights) -> dict[str, str]:
    """Those of :func:`misfits` that are an fc8 for another number of classes: name -> notice."""
    return {
        name: f'{name} is left as initialised: the checkpoint has {len(weights[name])} classes, '
        f'the model {len(target[name])}'
        for name in misfits(weights, target)
        if f'.{name}'.split('.')[-2] == 'fc8' and weights[name].shape[1:] == target[name].shape[1:]
    }


def with_input_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """conv1_1 of a net for colour images, for images of 1 or more than 3 channels.

    One channel: summed over the colours, so that a grey image gives the same result as three equal
    channels. More than three: the others begin with zeros, so that the net is unchanged at first,
    and are learnt; the colours stay in the weights' order (see :func:`colours_in_bgr`).
    (out, 3, k, k) -> (out, channels, k, k).
    """
    if channels == 1:
        return weight.sum(1, keepdim=True)
    others = weight.new_zeros(len(weight), channels - 3, *weight.shape[2:])
    return torch.cat([weight, others], 1)


def with_divided_images(weights: Weights, by: float) -> Weights:
    """Weights for images that are divided by a number: the same maps, divided by it.

    Convolutions, ReLU and max-pooling are homogeneous: with each bias divided by it as well, every
    map is. That does not hold for nets with batch normalization or LRN. From fc6 on nothing
    changes: its weights are multiplied.
    """

    def scaled(name: str, value: torch.Tensor) -> torch.Tensor:
        layer, kind = f'.{name}'.split('.')[-2:]
        if layer.startswith('conv') and kind == 'bias':
            return value / by
        return value * by if (layer, kind) == ('fc6', 'weight') else value

    return {name: scaled(name, value) for name, value in weights.items()}


def _is_conv1_1(name: str) -> bool:
    return f'.{name}'.endswith('.conv1_1.weight')


def takes_other_channels(name: str, source: torch.Size, target: torch.Size) -> bool:
    """Whether a weight is conv1_1's for colour images where the model's is for grey ones or more
    channels."""
    return (
        _is_conv1_1(name)
        and len(source) == len(target) == 4
        and source[1] == 3
        and (target[1] == 1 or target[1] > 3)
        and (source[0], *source[2:]) == (target[0], *target[2:])
    )


def adapt_input_channels(weights: Weights, target: Weights) -> list[str]:
    """Fit conv1_1 to a model for grey images or more channels, in place; returns notices."""
    notices = []
    for name in weights.keys() & target.keys():
        if takes_other_channels(name, weights[name].shape, target[name].shape):
            channels = target[name].shape[1]
            weights[name] = with_input_channels(weights[name], channels)
            how = 'is summed over the colours' if channels == 1 else 'has zeros after the colours'
            notices.append(f'{name} {how}: it has 3 input channels, the model {channels}')
    return notices


def colours_in_bgr(weights: Weights, target: Weights) -> list[str]:
    """Reverse conv1_1 of a net for RGB images, in place, if the model has more than three channels.

    MMPretrain's data preprocessor converts images of three channels to RGB, others stay in OpenCV's
    order. Returns notices.
    """
    channels = max((t.shape[1] for name, t in target.items() if _is_conv1_1(name)), default=0)
    notices = []
    for name, value in weights.items():
        if channels > 3 and _is_conv1_1(name) and value.shape[1:2] == (3,):
            weights[name] = value.flip(1)
            notices.append(f'conv1_1 is reversed: the colours of {channels} channels are BGR')
    return notices


def first_of(problems: Sequence[str]) -> str:
    """Problems as one line: the first few, and how many more there are."""
    return first_few(problems, MAX_NAMED, '; ')


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Digest of a state dict: of names, shapes, types and numbers."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in weights.items():
        digest.update(f'{name} {tuple(value.shape)} {value.dtype}\n'.encode())
        # As bytes: numpy has no bfloat16.
        numbers = value.detach().cpu().contiguous().reshape(-1)
        digest.update(numbers.view(torch.uint8).numpy().data)
    return digest.hexdigest()
