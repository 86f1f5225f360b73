"""File formats of weights other than PyTorch's, recognised by their first bytes."""

import json
import os
import re
import zipfile
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, Optional, Union

import torch


class File(NamedTuple):
    """The content of a file: the weights by their names in it, and further information as in a
    checkpoint's ``meta``."""

    weights: dict[str, torch.Tensor]
    meta: dict = {}


class Start(NamedTuple):
    """For recognising a file: its first bytes, and the names in it if it is a zip archive."""

    bytes: bytes
    members: tuple[str, ...] = ()


class FileFormat(NamedTuple):
    """One kind of file."""

    name: str  # for messages
    endings: tuple[str, ...]  # of the names of such files
    fits: Callable[[Start], bool]  # whether a file that starts so is of this kind
    reader: str  # 'module.function' of this package: path -> File
    package: str = ''  # for pip install


#: Maximum ratio of decompressed to compressed bytes of numbers; a megabyte is always permitted,
#: since zeros take almost no space.
MAX_RATIO, ALWAYS_PERMITTED = 100, 2**20

#: In a Keras 3 model's archive.
KERAS_WEIGHTS = 'model.weights.h5'


def _begins(pattern: bytes) -> Callable[[Start], bool]:
    return lambda start: re.match(pattern, start.bytes, re.DOTALL) is not None


def _is_hdf5(start: Start) -> bool:
    return start.bytes[:8] == b'\x89HDF\r\n\x1a\n' or KERAS_WEIGHTS in start.members


def _is_caffemodel(start: Start) -> bool:
    """A NetParameter begins with its name, or with its first layer or input: a length and bytes."""
    field, length = start.bytes[:1], start.bytes[1] if len(start.bytes) > 1 else 0
    if field in (b'\n', b'\x1a'):
        text = start.bytes[2 : 2 + length]
        whole = 0 < length < 128 and len(text) == length and text.isascii()
        return whole and (field == b'\n' or text.isalnum())
    # Fields 2 and 100, in which a layer's name or input is first.
    return bool(re.match(rb'(\x12|\xa2\x06)[\x80-\xff]*[\x01-\x7f][\n\x12\x1a\x22]', start.bytes))


def _is_numpy(start: Start) -> bool:
    arrays = [name.endswith('.npy') for name in start.members]
    return start.bytes[:6] == b'\x93NUMPY' or (bool(arrays) and all(arrays))


def _is_pytorch(start: Start) -> bool:
    """torch.save's: a zip archive with a pickle, or a pickle; of 2016 a tar archive."""
    in_zip = any(name.endswith(('/data.pkl', '/constants.pkl')) for name in start.members)
    return in_zip or start.bytes[:1] == b'\x80' or start.bytes[257:262] == b'ustar'


#: Safetensors begins with the length of its header in 8 bytes, then that, in JSON; ONNX with the
#: version of the format, then the program that wrote it, or the graph.
FORMATS = (
    FileFormat('HDF5', ('.h5', '.hdf5', '.keras'), _is_hdf5, 'hdf5.read', 'h5py'),
    FileFormat(
        'safetensors',
        ('.safetensors',),
        _begins(rb'.{4}\0{4}\{'),
        'safetensors_file.read',
        'safetensors',
    ),
    FileFormat('MATLAB', ('.mat',), _begins(rb'MATLAB 5\.0 MAT-file'), 'mat.read'),
    FileFormat('numpy', ('.npy', '.npz'), _is_numpy, 'numpy_file.read'),
    FileFormat(
        'ONNX', ('.onnx',), _begins(rb'\x08[\x01-\x3f][\x12:]'), 'protobuf.read_onnx', 'protobuf'
    ),
    FileFormat('Caffe', ('.caffemodel',), _is_caffemodel, 'protobuf.read_caffe', 'protobuf'),
)

#: Complete files that are no weights or of a format that is not supported: their first bytes, their
#: format, and advice.
OTHERS = (
    (rb'\s*(<!DOCTYPE|<html|<\?xml)', 'a web page: the download did not give the file'),
    (rb'version https://git-lfs', 'a pointer of Git LFS: fetch the file itself (git lfs pull)'),
    (rb'\x1f\x8b|BZh|\xfd7zXZ', 'a compressed file: unpack it'),
    (rb'MATLAB 7\.3', "a file of MATLAB 7.3: save it again with save(..., '-v7')"),
    (rb'\x12\x01\0{6}', 'a file of MXNet: export the net as ONNX'),
    (
        rb'....TFL3',
        'a file of TensorFlow Lite, which rounds weights: give the model it was made of',
    ),
    (rb'[\x01-\x06]\0\0\0[\x01-\x06]\0\0\0', "a file of Torch 7: save the weights as numpy's .npz"),
)

#: TensorFlow's files are recognised by the ends of their names or, tables of its first checkpoints,
#: by their last bytes.
TENSORFLOW = "a file of TensorFlow: save the variables as numpy's .npz, with the layers' names"
TENSORFLOW_NAMES = ('.index', '.data-00000-of-00001', '.pb')
TENSORFLOW_END = bytes.fromhex('57fb808b247547db')


def format_of(path: Union[str, os.PathLike]) -> Optional[FileFormat]:
    """The format of a file, by its content; None for PyTorch's and unknown ones.

    Raises:
        ValueError: in one line, if its format is known but not supported, or its name is that of a
            format and its content is not.
    """
    path = os.fspath(path)
    start = _start_of(path)
    if _is_pytorch(start):
        return None
    other = _other_kind(path, start)
    if other is not None:
        raise ValueError(f'{path} is {other}')
    for one in FORMATS:
        if one.fits(start):
            return one
    if start.members:
        shown = ', '.join(start.members[:3])
        raise ValueError(
            f'{path} is an archive without weights of a known kind: it contains {shown}'
        )
    for one in FORMATS:
        if path.endswith(one.endings):
            raise ValueError(
                f'{path} is named like a file of {one.name}, but does not begin like one'
            )
    return None


def explodes(size: int, stored: int) -> bool:
    """Whether that many bytes are more than weights of ``stored`` bytes in a file can have."""
    return size > max(ALWAYS_PERMITTED, MAX_RATIO * stored)


def _start_of(path: str) -> Start:
    with open(path, 'rb') as file:
        start = file.read(512)
    if start[:2] != b'PK':
        return Start(start)
    try:
        with zipfile.ZipFile(path) as archive:
            return Start(start, tuple(archive.namelist()))
    except Exception:
        # Wrong bytes in an archive's directory lead to errors of many kinds; torch's says it.
        return Start(b'\x80')


def _other_kind(path: str, start: Start) -> Optional[str]:
    for pattern, what in OTHERS:
        if re.match(pattern, start.bytes, re.DOTALL | re.IGNORECASE):
            return what
    with open(path, 'rb') as file:
        file.seek(max(0, os.path.getsize(path) - len(TENSORFLOW_END)))
        is_tensorflow = path.endswith(TENSORFLOW_NAMES) or file.read() == TENSORFLOW_END
    return TENSORFLOW if is_tensorflow else None


def read(path: Union[str, os.PathLike], kind: FileFormat) -> dict:
    """All weights in a file, by their names in it, as a checkpoint.

    Raises:
        ImportError: in one line, if the library for it is missing.
        ValueError: if the file is truncated or of another format.
    """
    module, function = kind.reader.split('.')
    try:
        reader = getattr(import_module(f'.{module}', __name__), function)
    except ImportError as error:
        raise ImportError(
            f'{path} is a file of {kind.name}, which needs a library: pip install {kind.package}'
        ) from error
    weights, meta = reader(os.fspath(path))
    if not weights:
        raise ValueError(f'{path}: a file of {kind.name} without weights')
    return dict(state_dict=weights, meta=meta)


def meta_of(notes: dict[str, str]) -> dict:
    """A checkpoint's ``meta`` (pre-processing, classes) from the texts that exports write.

    Texts of other programs, which may have the same names, are ignored.
    """
    meta = {}
    mean, std = (_list_of((int, float), notes.get(name)) for name in ('mean', 'std'))
    if 'channel_order' in notes and mean and std:
        meta['preprocessing'] = dict(to_rgb=notes['channel_order'] == 'RGB', mean=mean, std=std)
    if classes := _list_of(str, notes.get('classes')):
        meta['dataset_meta'] = dict(classes=classes)
    return meta


def _list_of(kind: Union[type, tuple[type, ...]], text: Optional[str]) -> Optional[list]:
    """The list that a text in JSON is, if it is one of this kind."""
    try:
        value = json.loads(text or '')
    except ValueError:
        return None
    is_one = isinstance(value, list) and all(isinstance(item, kind) for item in value)
    return value if is_one else None
