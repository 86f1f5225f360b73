"""Files of Caffe's nets, read with protobuf and the few fields of its format that hold weights."""

import math

import numpy as np
import torch
from google.protobuf.message import Message

from . import File
from .protobuf import BYTES, INT32, INT64, TEXT, parse

#: Caffe's caffe.proto has many more.
SCHEMA = {
    'BlobShape': {'dim': (1, INT64, True)},
    'BlobProto': {
        'num': (1, INT32, False),
        'channels': (2, INT32, False),
        'height': (3, INT32, False),
        'width': (4, INT32, False),
        'data': (5, BYTES, True),
        'shape': (7, 'BlobShape', False),
        'double_data': (8, BYTES, True),
    },
    # Of 2014, as in the authors' release, and of today.
    'V1LayerParameter': {'name': (4, TEXT, False), 'blobs': (6, 'BlobProto', True)},
    'LayerParameter': {'name': (1, TEXT, False), 'blobs': (7, 'BlobProto', True)},
    'NetParameter': {
        'name': (1, TEXT, False),
        'layers': (2, 'V1LayerParameter', True),
        'layer': (100, 'LayerParameter', True),
    },
}


def read(path: str) -> File:
    """The weights by the names ``LAYER.blobs.NUMBER``, with the shapes that the file gives."""
    net = parse(path, 'Caffe', SCHEMA, 'NetParameter')
    weights = {}
    for layer in (*net.layers, *net.layer):
        for number, blob in enumerate(layer.blobs):
            name = f'{layer.name}.blobs.{number}'
            weights[name] = _array(blob, f'{path}: {name}')
    return File(weights)


def _array(blob: Message, where: str) -> torch.Tensor:
    kind, parts = (np.dtype('<f4'), blob.data) if blob.data else (np.dtype('<f8'), blob.double_data)
    content = parts[0] if len(parts) == 1 else b''.join(parts)
    shape = (
        tuple(blob.shape.dim)
        if blob.HasField('shape')
        else (blob.num, blob.channels, blob.height, blob.width)
    )
    expected = math.prod(shape) * kind.itemsize
    if min(shape, default=1) < 1 or len(shape) > 4 or len(content) != expected:
        raise ValueError(
            f'{where} has the shape {shape}, {expected:,} bytes, but {len(content):,} in the file'
        )
    # A copy: the bytes belong to the message.
    return torch.from_numpy(np.frombuffer(content, kind).astype(np.float32).reshape(shape))
