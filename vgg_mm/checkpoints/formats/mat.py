"""MatConvNet's nets in MATLAB's files (Level 5, version 7 and before).

A reader of its own: SciPy's crashes on cells within cells within cells, and decompresses without
limit.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from . import ALWAYS_PERMITTED, MAX_RATIO, File

#: mi*: the numbers in an element. Texts are read as bytes.
NUMBERS = {
    1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8',
    16: 'u1', 17: 'u2', 18: 'u4',
}  # fmt: skip
MATRIX, COMPRESSED = 14, 15

#: mx*: the kinds of arrays.
CELL, STRUCT, CHAR = 1, 2, 4
NUMERIC = range(6, 16)

#: Cells and structs within each other, and items in one of them, that a net does not need.
MAX_DEPTH, MAX_ITEMS = 12, 10_000

HEADER = 128

#: What a net is made of, at the top of the file; ``net`` may hold the others.
VARIABLES = ('layers', 'meta', 'normalization', 'classes', 'net')


class _Element(NamedTuple):
    kind: int
    content: memoryview


def read(path: str) -> File:
    """The weights as 'layers/NAME/0' (filters) and '.../1' (biases), dimensions in MATLAB's order.

    The mean image and the classes' descriptions are in the ``meta``.
    """
    with open(path, 'rb') as file:
        content = memoryview(file.read())
    if content[126:128] == b'MI':
        raise ValueError(f'{path} was written on a big-endian machine: save it again on another')
    try:
        variables = dict(_variables(content[HEADER:]))
        net = variables.get('net')
        found = {**(net if isinstance(net, dict) else {}), **variables}
        return File(_weights(found.get('layers')), _meta(found))
    except (struct.error, zlib.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f'{path} is truncated or no MATLAB file: {error}') from error


def _variables(content: memoryview) -> Iterator[tuple[str, Any]]:
    for element in _elements(content):
        if element.kind == COMPRESSED:
            (element,) = _elements(memoryview(_decompressed(element.content)))
        if element.kind == MATRIX:
            name, value = _array(element.content, 0, VARIABLES)
            if name in VARIABLES:
                yield name, value


def _decompressed(content: memoryview) -> bytes:
    stream = zlib.decompressobj()
    found = stream.decompress(content, max(ALWAYS_PERMITTED, MAX_RATIO * len(content)))
    if not stream.eof:
        raise ValueError('a variable is not whole, or more than 100 times as large as in the file')
    return found


def _elements(content: memoryview) -> Iterator[_Element]:
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from('<II', content, at)
        if kind >> 16:  # up to four bytes, in the tag itself
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            end = start + size
            end += 0 if kind == COMPRESSED else -size % 8
        if start + size > len(content):
            raise ValueError(
                f'an element of {size:,} bytes where {len(content) - start:,} are left'
            )
        yield _Element(kind, content[start : start + size])
        at = end


def _numbers(element: _Element) -> np.ndarray:
    if element.kind not in NUMBERS:
        raise ValueError(f'an element of kind {element.kind} where numbers belong')
    return np.frombuffer(element.content, np.dtype(NUMBERS[element.kind]).newbyteorder('<'))


def _array(content: memoryview, depth: int, wanted: tuple = ()) -> tuple[str, Any]:
    """Name and value of an array: numbers, a text, a list for cells, a dict for one struct.

    Other kinds (functions, objects, sparse arrays) are None.
    """
    if depth > MAX_DEPTH:
        raise ValueError('cells in cells, deeper than in any net')
    if not len(content):
        return '', None
    flags, dims, title, *rest = _elements(content)
    kind, shape = int(_numbers(flags)[0]) & 0xFF, tuple(int(n) for n in _numbers(dims))
    count = math.prod(shape)
    name = bytes(title.content).decode('latin1')
    if wanted and name not in wanted:
        return name, None
    if min(shape, default=0) < 0 or (kind in (CELL, STRUCT) and count > MAX_ITEMS):
        raise ValueError(f'an array of the shape {shape}')
    if kind == CELL:
        return name, [_array(one.content, depth + 1)[1] for one in rest[:count]]
    if kind == STRUCT:
        return name, _structs(rest, count, depth)
    if kind == CHAR:
        return name, ''.join(map(chr, _numbers(rest[0]))) if rest else ''
    if kind in NUMERIC and rest:
        return name, _numbers(rest[0]).reshape(shape, order='F')
    return name, None


def _structs(rest: list[_Element], count: int, depth: int) -> Any:
    length = int(_numbers(rest[0])[0])
    texts = bytes(rest[1].content)
    if not 0 < length <= len(texts) or len(texts) // length > MAX_ITEMS:
        raise ValueError('a struct without names')
    fields = [
        texts[i : i + length].split(b'\0')[0].decode('latin1') for i in range(0, len(texts), length)
    ]
    values = [_array(one.content, depth + 1)[1] for one in rest[2 : 2 + count * len(fields)]]
    found = [
        dict(zip(fields, values[i : i + len(fields)])) for i in range(0, len(values), len(fields))
    ]
    return found[0] if len(found) == 1 else found


def _weights(layers: Any) -> dict[str, torch.Tensor]:
    weights = {}
    for layer in layers if isinstance(layers, list) else []:
        if not isinstance(layer, dict) or not isinstance(layer.get('name'), str):
            continue
        # Two names until 2014.
        arrays = layer.get('weights') or [layer.get('filters'), layer.get('biases')]
        for number, array in enumerate(arrays if isinstance(arrays, list) else []):
            if isinstance(array, np.ndarray) and array.dtype.kind == 'f':
                own = np.ascontiguousarray(array, array.dtype.newbyteorder('='))
                weights[f'layers/{layer["name"]}/{number}'] = torch.from_numpy(own.copy())
    return weights


def _meta(found: dict) -> dict:
    """The mean of the images, which are RGB, and the classes."""
    described = found['meta'] if isinstance(found.get('meta'), dict) else found
    normalization, classes = (described.get(k) for k in ('normalization', 'classes'))
    meta = {}
    if isinstance(normalization, dict):
        mean = normalization.get('averageImage')
        if isinstance(mean, np.ndarray) and mean.size % 3 == 0 and mean.size:
            means = mean.reshape(-1, 3, order='F').mean(0).astype(float).round(4)
            meta['preprocessing'] = dict(to_rgb=True, mean=means.tolist(), std=[1.0] * 3)
    if isinstance(classes, dict):
        names = classes.get('description')
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            meta['dataset_meta'] = dict(classes=names)
    return meta
