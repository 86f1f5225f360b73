"""The index of tar shards, read once and stored in a file."""

import glob
import io
import json
import logging
import os
import os.path as osp
import posixpath
import re
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

import numpy as np
from mmengine.logging import print_log

from vgg_mm.checkpoints.atomic_write import write_atomically

#: Counts up when the content of index files changes, also by other rules for labels.
INDEX_VERSION = 2

INDEX_ENDING = '.index.npz'

#: Files with the same name as an image that contain its label; the first one counts.
LABEL_ENDINGS = '.cls', '.json'

#: How compressed files begin: gzip, bzip2, xz, zstd.
COMPRESSED = b'\x1f\x8b', b'BZh', b'\xfd7zXZ', b'\x28\xb5\x2f\xfd'


class TarIndex(NamedTuple):
    """The images of all shards, in their order there."""

    shard: np.ndarray  # (N,): which of the shards
    offset: np.ndarray  # (N,): of the first byte in the shard
    size: np.ndarray  # (N,): in bytes
    names: list[str]
    labels: list[str]  # from KEY.cls or KEY.json; '' where there is none


def find_shards(folder: str, patterns: Iterable[str]) -> list[str]:
    """The paths of shards in a folder, by patterns like ``train-{000..012}.tar`` or ``*.tar``.

    Raises:
        FileNotFoundError: if one of them is missing, or none is there.
    """
    paths = []
    for pattern in (name for given in patterns for name in _expand_range(given)):
        if glob.has_magic(pattern):
            found = glob.glob(osp.join(glob.escape(folder), pattern))
            paths += sorted(path for path in found if not path.endswith(INDEX_ENDING))
        elif osp.isfile(osp.join(folder, pattern)):
            paths.append(osp.join(folder, pattern))
        else:
            raise FileNotFoundError(f'shard not found: {osp.join(folder, pattern)}')
    if not paths:
        raise FileNotFoundError(f'no shards {", ".join(patterns)!r} in {folder!r}')
    return paths


def _expand_range(pattern: str) -> list[str]:
    """'a-{08..10}.tar' -> a-08.tar, a-09.tar, a-10.tar."""
    match = re.search(r'\{(\d+)\.\.(\d+)\}', pattern)
    if not match:
        return [pattern]
    first, last = match.groups()
    return [
        name
        for number in range(int(first), int(last) + 1)
        for name in _expand_range(
            f'{pattern[: match.start()]}{number:0{len(first)}}{pattern[match.end() :]}'
        )
    ]


def load_index(
    shards: Sequence[str], extensions: Sequence[str], file: Optional[str] = None
) -> TarIndex:
    """The index of the shards: from its file, if that was made of them as they are now.

    ``extensions`` are the endings of images, in lower case; ``file`` is next to the first shard
    if None.

    Raises:
        ValueError: in one line, if a shard is truncated, compressed or no tar file.
    """
    file = file or f'{shards[0]}{INDEX_ENDING}'
    state = _state(shards, extensions)
    index = _read(file, state)
    if index is not None:
        return index
    print_log(f'reading the headers of {len(shards)} tar shard(s)', logger='current')
    index = _scan(shards, tuple(extensions))
    try:
        write_atomically(file, _to_bytes(index, state))
    except OSError as error:
        # E.g. if the shards are on a read-only medium.
        print_log(
            f'the index of the shards is not kept ({error}): give another index_file',
            logger='current',
            level=logging.WARNING,
        )
    return index


def _state(shards: Sequence[str], extensions: Sequence[str]) -> str:
    """What an index depends on, as text."""
    stats = [(osp.basename(path), os.stat(path)) for path in shards]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return json.dumps([INDEX_VERSION, sorted(extensions), files])


def _to_bytes(index: TarIndex, state: str) -> bytes:
    file = io.BytesIO()
    np.savez(
        file,
        state=_pack([state]),
        shard=index.shard,
        offset=index.offset,
        size=index.size,
        names=_pack(index.names),
        labels=_pack(index.labels),
    )
    return file.getvalue()


def _read(file: str, state: str) -> Optional[TarIndex]:
    """The index in a file; None if it is missing, damaged or not of this state."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if _unpack(arrays['state']) != [state]:
                return None
            return TarIndex(
                arrays['shard'],
                arrays['offset'],
                arrays['size'],
                _unpack(arrays['names']),
                _unpack(arrays['labels']),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _pack(texts: Sequence[str]) -> np.ndarray:
    return np.frombuffer('\0'.join(texts).encode('utf-8', 'surrogateescape'), np.uint8)


def _unpack(array: np.ndarray) -> list[str]:
    return array.tobytes().decode('utf-8', 'surrogateescape').split('\0')


def _scan(shards: Sequence[str], extensions: tuple[str, ...]) -> TarIndex:
    rows = [
        (number, *row) for number, path in enumerate(shards) for row in scan_shard(path, extensions)
    ]
    if not rows:
        raise ValueError(
            f'no images in {len(shards)} shard(s), the first is {shards[0]}; extensions are '
            f'{", ".join(extensions)}'
        )
    shard, offset, size, names, labels = zip(*rows)
    return TarIndex(
        np.array(shard, np.int32),
        np.array(offset, np.int64),
        np.array(size, np.int64),
        list(names),
        list(labels),
    )


def scan_shard(path: str, extensions: tuple[str, ...]) -> list[tuple[int, int, str, str]]:
    """(offset, size, name, label) of each image; hidden files are none.

    Of two members of the same name the later one counts, as for ``tar x``.

    Raises:
        ValueError: in one line, see :func:`load_index`.
    """
    with open(path, 'rb') as shard:
        if shard.read(6).startswith(COMPRESSED):
            raise ValueError(f'shard {path} is compressed: unpack it')
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, bytes] = {}
    try:
        with tarfile.open(path, 'r:') as tar:
            for member in tar:
                name = posixpath.normpath(member.name)
                if member.isdir() or any(part.startswith('.') for part in name.split('/')):
                    continue
                stem, ending = posixpath.splitext(name)
                if ending.lower() in LABEL_ENDINGS:
                    file = tar.extractfile(member)
                    content = file.read() if file else b''  # a link to nothing
                    labels[stem + ending.lower()] = content
                elif name.lower().endswith(extensions):
                    if not member.isreg():
                        raise ValueError(f'{path}::{name} is a link: write the image itself')
                    images[name] = member.offset_data, member.size
            _check_end(tar, path)
    except tarfile.TarError as error:
        raise ValueError(f'shard {path} is truncated or no tar file ({error})') from None
    return [(*place, name, _label(name, labels, path)) for name, place in images.items()]


def _label(image: str, labels: dict[str, bytes], path: str) -> str:
    """The label of an image as text; '' if it has none."""
    key = posixpath.splitext(image)[0]
    for name in (key + ending for ending in LABEL_ENDINGS):
        if name not in labels:
            continue
        try:
            text = labels[name].decode('utf-8').strip()
            if name.endswith('.json'):
                text = _label_in_json(json.loads(text))
        except (ValueError, AttributeError):
            raise ValueError(f'not a label: {path}::{name}') from None
        if text:
            return text
    return ''


def _label_in_json(value: dict) -> str:
    """The label as text, '' if it has none; ValueError if it is neither a number nor a name."""
    found = (value.get(key) for key in ('label', 'class'))
    label = next((one for one in found if one is not None), '')
    if isinstance(label, float) and label.is_integer():
        label = int(label)  # pandas writes 3.0 where a column has gaps
    if isinstance(label, bool) or not isinstance(label, (int, str)):
        raise ValueError(f'{label!r} is no number of a class, and no name')
    return str(label)


def _check_end(tar: tarfile.TarFile, path: str) -> None:
    """Refuse what ``tarfile`` treats as an end: a cut between members, or a damaged header."""
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ValueError(f'shard {path} is truncated or damaged at byte {tar.offset:,}')
