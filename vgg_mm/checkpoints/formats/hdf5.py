"""HDF5 files, as Keras writes them."""

import math

import h5py
import torch

from . import File

#: Most bytes that a compressed array may become, for each byte that it takes in the file.
LARGEST_RATIO = 100


def read(path: str) -> File:
    """Every array of numbers in the file, by its path in it.

    Links to other files, which HDF5 can hold, are not followed.
    """
    weights = {}
    try:
        with h5py.File(path, 'r') as file:

            def visit(name: str, item: h5py.HLObject) -> None:
                if isinstance(item, h5py.Dataset) and item.dtype.kind == 'f':
                    weights[name] = _array(name, item, path)

            file.visititems(visit)
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        # What h5py raises for damaged files.
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f'{path} is truncated or no HDF5 file: {text}') from error
    return File(weights)


def _array(name: str, array: h5py.Dataset, path: str) -> torch.Tensor:
    if array.external or array.is_virtual:
        raise ValueError(f'{path}: {name} is in another file; only weights in the file are read')
    stored = array.id.get_storage_size()
    size = math.prod(array.shape) * array.dtype.itemsize
    if size > stored * (LARGEST_RATIO if array.chunks else 1):
        raise ValueError(
            f'{path}: {name} has the shape {array.shape}, but only {stored:,} bytes in the file'
        )
    values = array[()]
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder('='))
    return torch.as_tensor(values)
