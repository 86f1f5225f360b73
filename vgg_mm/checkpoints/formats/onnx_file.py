"""ONNX files: the weights and what this package's exports say, without the graph."""

import math

import numpy as np
import torch
from google.protobuf.message import Message

from . import File
from .notes import meta_of
from .protobuf import BYTES, INT32, INT64, TEXT, parse

#: onnx.proto has many more. Numbers of one kind are packed: as bytes they come in one block.
SCHEMA = {
    'TensorProto': {
        'dims': (1, INT64, True),
        'data_type': (2, INT32, False),
        'float_data': (4, BYTES, True),
        'name': (8, TEXT, False),
        'raw_data': (9, BYTES, False),
        'data_location': (14, INT32, False),
    },
    'GraphProto': {'initializer': (5, 'TensorProto', True)},
    'StringStringEntryProto': {'key': (1, TEXT, False), 'value': (2, TEXT, False)},
    'ModelProto': {
        'graph': (7, 'GraphProto', False),
        'metadata_props': (14, 'StringStringEntryProto', True),
    },
}

#: Of TensorProto.DataType, those that weights have.
FLOATS: dict[int, np.dtype] = {1: np.dtype('<f4'), 10: np.dtype('<f2'), 11: np.dtype('<f8')}

#: TensorProto.DataLocation: in another file.
EXTERNAL = 1


def read(path: str) -> File:
    """The initializers that are floating-point numbers, by their names."""
    model = parse(path, 'ONNX', SCHEMA, 'ModelProto')
    weights = {
        tensor.name: _array(tensor, f'{path}: {tensor.name}')
        for tensor in model.graph.initializer
        if tensor.data_type in FLOATS
    }
    return File(weights, meta_of({prop.key: prop.value for prop in model.metadata_props}))


def _array(tensor: Message, where: str) -> torch.Tensor:
    if tensor.data_location == EXTERNAL:
        raise ValueError(
            f'{where} is in another file: save the model in one '
            "(onnx.save(onnx.load('MODEL.onnx'), 'ONE.onnx'))"
        )
    kind = FLOATS[tensor.data_type]
    content = tensor.raw_data or b''.join(tensor.float_data)
    shape = tuple(tensor.dims)
    expected = math.prod(shape) * kind.itemsize
    if min(shape, default=1) < 0 or len(shape) > 8 or len(content) != expected:
        raise ValueError(
            f'{where} has the shape {shape}, {expected:,} bytes, but {len(content):,} in the file'
        )
    # A copy: the bytes belong to the message.
    return torch.from_numpy(np.frombuffer(content, kind).astype(np.float32).reshape(shape))
