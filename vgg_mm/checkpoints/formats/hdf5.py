"""HDF5 files, as Keras writes them: of weights, of whole models, or in a Keras 3 archive."""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Union

import h5py
import torch

from . import KERAS_WEIGHTS, File, explodes

#: Longest description of a model that is read, in bytes.
MAX_CONFIG_BYTES = 2**24


def read(path: str) -> File:
    """Every array of numbers in the file, by its path in it.

    Links to other files, which HDF5 can contain, are not followed. If the file describes the model,
    ``meta['flattens']`` is whether it flattens a map, or averages over it.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(_member(archive, KERAS_WEIGHTS))
                has_config = 'config.json' in archive.namelist()
                config = _member(archive, 'config.json') if has_config else b''
            weights, _ = _arrays(content, path)
        else:
            weights, config = _arrays(path, path)
        return File(weights, _meta(config))
    except (OSError, RuntimeError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        # What h5py and zipfile raise for damaged files.
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f'{path} is truncated or no HDF5 file: {text}') from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if explodes(info.file_size, info.compress_size):
        raise OSError(f'{name} is far larger than in the archive')
    return archive.read(info)


def _arrays(file: Union[str, BinaryIO], path: str) -> tuple[dict[str, torch.Tensor], Any]:
    weights = {}
    with h5py.File(file, 'r') as opened:

        def visit(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind == 'f':
                weights[name] = _array(name, item, path)

        opened.visititems(visit)
        return weights, opened.attrs.get('model_config', b'')


def _array(name: str, array: h5py.Dataset, path: str) -> torch.Tensor:
    if array.external or array.is_virtual:
        raise ValueError(f'{path}: {name} is in another file; only weights in the file are read')
    stored = array.id.get_storage_size()
    size = math.prod(array.shape) * array.dtype.itemsize
    if explodes(size, stored) if array.chunks else size > stored:
        raise ValueError(
            f'{path}: {name} has the shape {array.shape}, but only {stored:,} bytes in the file'
        )
    values = array[()]
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder('='))
    return torch.as_tensor(values)


def _meta(config: Any) -> dict:
    try:
        classes = list(_classes(json.loads(config))) if len(config) < MAX_CONFIG_BYTES else []
    except (ValueError, TypeError, RecursionError):
        return {}  # a description of another kind
    pooled = [name for name in classes if name.startswith('Global')]
    if pooled or 'Flatten' in classes:
        return dict(flattens=not pooled)
    return {}


def _classes(config: Any) -> Iterator[str]:
    """The kinds of all layers in a model's description."""
    if isinstance(config, dict):
        if isinstance(config.get('class_name'), str):
            yield config['class_name']
        config = list(config.values())
    for one in config if isinstance(config, list) else []:
        yield from _classes(one)
