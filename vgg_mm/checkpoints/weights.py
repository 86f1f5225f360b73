"""What the readers of checkpoints have in common."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vgg_mm.text import first_few

#: How many of the weights that do not fit an error names.
NAMED = 3

Weights = dict[str, torch.Tensor]

#: Where files have their state dict; mmengine's first. '' is the file itself.
CONTAINERS = (
    'state_dict', '', 'model_state_dict', 'model', 'net', 'network', 'weights', 'params',
)  # fmt: skip

#: What holds tensors and is no state dict of a net.
NO_CONTAINERS = ('meta', 'message_hub', 'optimizer', 'conversion')

#: What nn.DataParallel and torch.compile put into names.
WRAPPERS = ('module', '_orig_mod')


def weights_of(checkpoint: dict, required: bool = True) -> Weights:
    """The state dict in a checkpoint, or the checkpoint itself if it is one.

    Args:
        checkpoint: As read. The state dict may be one level down, under one of
            :data:`CONTAINERS`, which training scripts use, or any other.
        required: Whether it is an error if there is no tensor in it.

    Raises:
        ValueError: if there is no tensor in it.
    """
    found = state_dicts(checkpoint)
    plain = [name for name in found if not is_averaged(name)] or list(found)
    known = [name for name in CONTAINERS if name in plain]
    weights = found[(known or plain)[0]] if plain else {}
    if required and not weights:
        raise ValueError(f'no weights found; the file holds {", ".join(map(str, checkpoint))}')
    return weights


def state_dicts(checkpoint: dict) -> dict[str, Weights]:
    """All state dicts in a checkpoint: container -> weights; '' is the checkpoint itself.

    ``module.`` and ``_orig_mod.`` before the names, of ``DataParallel`` and ``torch.compile``, are
    left out.
    """
    found = {}
    for name, value in [('', checkpoint), *checkpoint.items()]:
        if isinstance(value, dict) and isinstance(name, str) and name not in NO_CONTAINERS:
            weights = {unwrapped(k): as_tensor(v) for k, v in value.items() if is_weight(k, v)}
            if weights or name == 'state_dict':
                found[name] = weights
    return found


def averaged_weights(checkpoint: dict) -> tuple[str, Weights]:
    """The container of weights that are an average over a training (EMA), and these; or '', {}."""
    # mmengine's EMAHook leaves the averaged ones in state_dict, the plain ones in ema_state_dict.
    if 'ema_state_dict' in checkpoint and 'state_dict' in checkpoint:
        return '', {}
    for name, weights in state_dicts(checkpoint).items():
        if is_averaged(name):
            return name, weights
    return '', {}


def is_averaged(name: str) -> bool:
    """Whether a name is one that averaged weights have: model_ema, ema_model, params_ema, ..."""
    return 'ema' in re.split(r'[._]', name.lower())


def is_weight(name: Any, value: Any) -> bool:
    is_array = isinstance(value, np.ndarray) and value.dtype.kind == 'f'
    return isinstance(name, str) and (isinstance(value, torch.Tensor) or is_array)


def as_tensor(value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    # In the machine's own order of bytes, writable.
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder('=')))


def unwrapped(name: str) -> str:
    """A weight's name without what wrappers put before it."""
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
        name: f'{name} is {tuple(weights[name].shape)}, the model wants {tuple(target[name].shape)}'
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


def first_of(problems: Sequence[str]) -> str:
    """Problems as one line: the first few, and how many more there are."""
    return first_few(problems, NAMED, '; ')
