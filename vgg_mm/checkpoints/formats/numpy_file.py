"""numpy's files: arrays by name (.npz), or a dict of arrays, which is a pickle (.npy)."""

import math
import zipfile
from collections.abc import Iterable, Iterator
from pickle import UnpicklingError
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy

from ..stand_ins import ArrayOrObjects, unpickle_arrays
from . import File, explodes

#: Maximum depth of nested names in a dict of weights.
MAX_DEPTH = 4


def read(path: str) -> File:
    """Every array of floating-point numbers: 'conv1_1_W' of a .npz, 'conv1_1/0' of a dict's list.

    The pickle of a dict is read by stand-ins that accept only arrays and plain values, and run no
    code.
    """
    weights: dict[str, torch.Tensor] = {}
    for name, value in _values(path):
        _add(weights, name, value)
    return File(weights)


def _values(path: str) -> Iterator[tuple[str, Any]]:
    """What is in the file, by name."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    if explodes(info.file_size, info.compress_size):
                        raise ValueError(f'{info.filename} is far larger than in the file')
                    with archive.open(info) as file:
                        yield info.filename.removesuffix('.npy'), _value(file)
        else:
            with open(path, 'rb') as file:
                yield '', _value(file)
    except UnpicklingError as error:
        raise ValueError(f'{path} was not loaded: {error}') from error
    except Exception as error:  # a dozen kinds: of zipfile, zlib, and numpy's tokenizer of headers
        text = ' '.join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f'{path} is truncated or no numpy file: {text}') from error


def _value(file: IO[bytes]) -> Any:
    version = npy.read_magic(file)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        return unpickle_arrays(file)
    content = file.read()
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f'an array of the shape {shape} in {len(content):,} bytes')
    return np.frombuffer(content, dtype).reshape(shape, order='F' if fortran else 'C')


def _add(weights: dict[str, torch.Tensor], name: str, value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, ArrayOrObjects) and value.objects is not None:
        value = value.objects[0] if len(value.objects) == 1 else value.objects
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        if isinstance(value, np.ndarray) and value.dtype.kind == 'f':
            own = np.array(value, value.dtype.newbyteorder('='), subok=False)
            weights[name or 'array'] = torch.from_numpy(own)
        return
    for key, one in items:
        key = key.decode('latin1') if isinstance(key, bytes) else str(key)
        _add(weights, f'{name}/{key}' if name else key, one, depth + 1)
