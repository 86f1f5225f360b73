"""Checkpoint loading that runs no code from the file."""

import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any, Union

import torch
from mmengine.dist import is_main_process
from torch.serialization import SourceChangeWarning, safe_globals

from vgg_mm.installation import argument

from . import formats
from .layouts import to_own_layout
from .resume_point import run_checkpoint
from .stand_ins import MAX_CLASSES, allowed_globals, inert, without_stand_ins

#: Types of the optional entries of mmengine's checkpoints.
_CONTENTS: dict[str, Union[type, tuple[type, ...]]] = {
    'state_dict': dict,
    'meta': dict,
    'message_hub': dict,
    'optimizer': dict,
    'param_schedulers': (list, dict),
    'ema_state_dict': dict,
}

#: torch's message for files that it cannot read otherwise.
_OTHER_KIND = re.compile(r'``weights_only=True`` with (TorchScript archives|files .* \.tar format)')

#: torch's message for a class or function that is not allowed.
_ASKED_FOR = re.compile(r'GLOBAL (\S+)')

MAX_REASON_LENGTH = 200

_trusted = False


@contextmanager
def trusting(trust: bool) -> Iterator[None]:
    """Allow or forbid running code of files that need it, within the context."""
    global _trusted
    before, _trusted = _trusted, trust
    try:
        yield
    finally:
        _trusted = before


def load_checkpoint(path: Union[str, os.PathLike], map_location: Any = 'cpu') -> dict:
    """:func:`read_checkpoint`, with a VGG's weights in this package's layout, from any library's.

    See :func:`~vgg_mm.checkpoints.layouts.to_own_layout`.

    Raises:
        FileNotFoundError, ImportError, ValueError: as :func:`read_checkpoint`.
        ValueError: in one line, if a layer of a VGG has a shape that it cannot have.
    """
    checkpoint = read_checkpoint(path, map_location)
    try:
        return to_own_layout(checkpoint)
    except ValueError as error:
        raise ValueError(f'checkpoint {path}: {error}') from error


def read_checkpoint(path: Union[str, os.PathLike], map_location: Any = 'cpu') -> dict:
    """Read a checkpoint file, the weights by their names there, without running code from it.

    That is ``torch.load(..., weights_only=True)`` with stand-ins for the few classes of numpy and
    mmengine in mmengine's checkpoints, and inert ones for the classes of modules and of other
    objects in a file. Files of safetensors, Keras, Caffe, numpy, MatConvNet and ONNX are read,
    too. ``meta.config``, the program text that old versions of mmcv wrote and that mmengine runs
    when it resumes, is left out.

    Args:
        path: A file on this machine, or the folder of a run (:func:`run_checkpoint`).
        map_location: As in :func:`torch.load`, for PyTorch's files.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: in one line, if the library for the kind of file is missing.
        ValueError: if it is no checkpoint, is truncated, or contains anything that
            is not allowed.
    """
    path = run_checkpoint(os.path.expanduser(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(f'checkpoint not found: {path}')
    kind = formats.format_of(path)
    checkpoint = formats.read(path, kind) if kind else _load_with_torch(path, map_location)
    _check_contents(checkpoint, path)
    (checkpoint.get('meta') or {}).pop('config', None)
    return checkpoint


def _load_with_torch(path: str, map_location: Any) -> Any:
    classes: list[tuple[type, str]] = []
    while True:
        try:
            with safe_globals([*allowed_globals(), *classes]), warnings.catch_warnings():
                # torch's long hints about files that are refused
                warnings.filterwarnings('ignore', message='Detected pickle protocol|.*TorchScript')
                warnings.filterwarnings('ignore', category=SourceChangeWarning)
                found = torch.load(path, map_location=map_location, weights_only=True)
            return without_stand_ins(found)
        except Exception as error:
            # A wrong file makes the unpickler raise errors of any kind.
            if not _needs_code(error, path):
                is_zip = zipfile.is_zipfile(path)
                what = 'not a PyTorch file' if is_zip else 'truncated or not a PyTorch file'
                raise ValueError(f'checkpoint {path} is {what}: {_reason(error)}') from error
            if _trusted:
                return without_stand_ins(_run_and_load(path, map_location))
            asked_for = _ASKED_FOR.search(str(error))
            stand_in = inert(asked_for[1]) if asked_for else None
            if stand_in is None or len(classes) == MAX_CLASSES:
                raise ValueError(
                    f'checkpoint {path} was not loaded: {_reason(error)}; '
                    f'{argument("trust_checkpoint", True)} loads it and runs its code'
                ) from error
            classes.append(stand_in)


def _run_and_load(path: str, map_location: Any) -> Any:
    if is_main_process():
        trust = argument('trust_checkpoint', True)
        print(f'warning: {trust}: running the code in checkpoint {path}', file=sys.stderr)
    try:
        return torch.load(path, map_location=map_location, weights_only=False)
    except Exception as error:
        # Unknown code may raise anything.
        raise ValueError(f'checkpoint {path} was not loaded: {_reason(error)}') from error


def _needs_code(error: Exception, path: str) -> bool:
    """Whether a file was refused, rather than unreadable."""
    if _OTHER_KIND.search(str(error)):
        return True
    with open(path, 'rb') as file:
        start = file.read(2)
    # A zip file, or a binary pickle.
    return isinstance(error, UnpicklingError) and (start == b'PK' or start[:1] == b'\x80')


def _reason(error: Exception) -> str:
    """The cause from torch's long message."""
    text = ''.join(c if c.isprintable() else ' ' for c in str(error))
    asked_for = _ASKED_FOR.search(text)
    other_kind = _OTHER_KIND.search(text)
    if asked_for:
        reason = f'it refers to {asked_for[1]}'
    elif other_kind:
        reason = f'{other_kind[1]} cannot be read without running code'
    elif 'Only persistent_load of storage' in text:
        reason = 'it is a whole module saved by PyTorch 1.5 or older: save its state_dict()'
    elif 'Unsupported operand' in text:
        reason = 'it was not written by torch.save'
    else:
        found = text.rpartition('WeightsUnpickler error: ')[2]
        found = found.partition('Check the documentation')[0]
        reason = found.split('. ')[0].strip() or type(error).__name__
    return reason[:MAX_REASON_LENGTH]


def _check_contents(checkpoint: Any, path: str) -> None:
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'checkpoint {path} contains a {type(checkpoint).__name__}, not a dict of weights'
        )
    for key, expected in _CONTENTS.items():
        value = checkpoint.get(key)
        if value is not None and not isinstance(value, expected):
            raise ValueError(f'checkpoint {path}: its {key} is a {type(value).__name__}')
    for name in checkpoint.get('state_dict') or checkpoint:
        if not isinstance(name, str):
            raise ValueError(f'checkpoint {path}: a weight is named {name!r}')
