"""Kinds of files that hold weights, besides PyTorch's: each is told by its first bytes."""

import os
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import NamedTuple, Optional, Union

import torch


class File(NamedTuple):
    """What is in a file: the weights by the names they have there, and what a checkpoint's ``meta``
    would hold of what it says besides."""

    weights: dict[str, torch.Tensor]
    meta: dict = {}


class FileFormat(NamedTuple):
    """One kind of file.

    Args:
        name: For messages.
        endings: What names of such files end in.
        starts: Whether a file's first bytes are those of this kind.
        module: The reader's module in this package, with ``read(path) -> File``.
        package: What ``pip install`` has to be given for it.
    """

    name: str
    endings: tuple[str, ...]
    starts: Callable[[bytes], bool]
    module: str
    package: str


def _is_hdf5(start: bytes) -> bool:
    return start[:8] == b'\x89HDF\r\n\x1a\n'


def _is_safetensors(start: bytes) -> bool:
    # The header's length in 8 bytes, then the header, in JSON.
    return start[8:9] == b'{' and int.from_bytes(start[:8], 'little') < 2**32


def _is_caffemodel(start: bytes) -> bool:
    # Field 1 of a NetParameter, a text: its length and the net's name.
    length = start[1] if len(start) > 1 else 0
    name = start[2 : 2 + length]
    return start[:1] == b'\n' and 0 < length < 128 and len(name) == length and name.isascii()


FORMATS = (
    FileFormat('HDF5', ('.h5', '.hdf5'), _is_hdf5, 'hdf5', 'h5py'),
    FileFormat(
        'safetensors', ('.safetensors',), _is_safetensors, 'safetensors_file', 'safetensors'
    ),
    FileFormat('Caffe', ('.caffemodel',), _is_caffemodel, 'caffemodel', 'protobuf'),
)


def format_of(path: Union[str, os.PathLike]) -> Optional[FileFormat]:
    """The kind of a file, by its first bytes; None for PyTorch's and unknown ones.

    Raises:
        ValueError: in one line, if its name says one of the kinds and its content does not.
    """
    if os.fspath(path).endswith('.keras'):  # a zip file, like PyTorch's
        raise ValueError(f"{path}: give the weights alone: model.save_weights('NAME.weights.h5')")
    with open(path, 'rb') as file:
        start = file.read(256)
    if start[:2] == b'PK' or start[:1] == b'\x80':  # torch.save's
        return None
    for one in FORMATS:
        if one.starts(start):
            return one
    for one in FORMATS:
        if os.fspath(path).endswith(one.endings):
            raise ValueError(
                f'{path} is named like a file of {one.name}, but does not begin like one'
            )
    return None


def read(path: Union[str, os.PathLike], kind: FileFormat) -> dict:
    """All weights in a file, by the names they have there, as a checkpoint.

    Raises:
        ImportError: in one line, if the library for it is missing.
        ValueError: in one line, if the file is truncated or is not what it says.
    """
    try:
        reader: ModuleType = import_module(f'.{kind.module}', __name__)
    except ImportError as error:
        raise ImportError(
            f'{path} is a file of {kind.name}, which needs a library: pip install {kind.package}'
        ) from error
    weights, meta = reader.read(os.fspath(path))
    if not weights:
        raise ValueError(f'{path}: a file of {kind.name} without weights')
    return dict(state_dict=weights, meta=meta)
