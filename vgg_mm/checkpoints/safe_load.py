"""Checkpoint loading that runs no code from the file."""

import os
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch.serialization import safe_globals

#: The bound methods that mmengine pickles with each of its log buffers.
STATISTICS_METHODS = ('min', 'max', 'current', 'mean')


def _history_buffer_method(owner: Any, name: str) -> Callable:
    """Stand-in for ``getattr`` while unpickling: finds HistoryBuffer's statistics and no more."""
    if owner is HistoryBuffer and name in STATISTICS_METHODS:
        return getattr(HistoryBuffer, name)
    raise UnpicklingError(f'it asks for attribute {name!r} of {owner!r}')


def _allowed_globals() -> list:
    """What a checkpoint of mmengine holds beyond tensors and plain containers."""
    core = np._core if hasattr(np, '_core') else np.core
    dtypes = {type(np.dtype(t)) for t in (np.float64, np.float32, np.int64, np.int32, np.uint32)}
    return [
        HistoryBuffer,
        (_history_buffer_method, 'builtins.getattr'),
        core.multiarray._reconstruct,
        core.multiarray.scalar,
        np.ndarray,
        np.dtype,
        *dtypes,
    ]


def load_checkpoint(path: Union[str, os.PathLike], map_location: Any = 'cpu') -> dict:
    """Read a checkpoint file with ``weights_only=True`` and mmengine's few classes allowed by name.

    Args:
        path: A file on this machine.
        map_location: As in :func:`torch.load`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one line, if it is no checkpoint, is truncated, or holds anything that is
            not allowed.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'checkpoint not found: {path}')
    try:
        with safe_globals(_allowed_globals()):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        raise ValueError(f'checkpoint {path} was not loaded: {_first_reason(error)}') from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f'checkpoint {path} is truncated or not a PyTorch file: {_first_reason(error)}'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'checkpoint {path} holds a {type(checkpoint).__name__}, not a dict of weights'
        )
    return checkpoint


def _first_reason(error: Exception) -> str:
    """The part of torch's long message that says what was found."""
    text = str(error).replace('\n', ' ')
    marker = 'WeightsUnpickler error: '
    text = text[text.index(marker) + len(marker) :] if marker in text else text
    return text.split('. ')[0].strip() or type(error).__name__


def load_checkpoints_safely() -> None:
    """Make mmengine load local checkpoint files through :func:`load_checkpoint` in this process.

    mmengine's own loader falls back to running the file's code when the safe way fails (or, on
    OpenMMLab's 0.10.7 with torch >= 2.6, cannot read its own checkpoints). The command-line tools
    call this at their start.
    """

    def load_from_local(filename, map_location):
        return load_checkpoint(filename, map_location)

    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
