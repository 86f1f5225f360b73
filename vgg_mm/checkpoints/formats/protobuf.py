"""Caffe's nets and ONNX files, read with protobuf and the few fields that hold weights."""

import math
from typing import Union

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from . import File, meta_of

_Field = descriptor_pb2.FieldDescriptorProto
TEXT, BYTES, INT32, INT64 = (
    _Field.TYPE_STRING, _Field.TYPE_BYTES, _Field.TYPE_INT32, _Field.TYPE_INT64
)  # fmt: skip

#: message -> {field: (number, type or message, repeated)}. Packed numbers have the same bytes as a
#: text of bytes: declared as such, 138 million numbers come as one block.
Schema = dict[str, dict[str, tuple[int, Union[int, str], bool]]]

#: Caffe's caffe.proto has many more.
CAFFE: Schema = {
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

#: onnx.proto has many more, too.
ONNX: Schema = {
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

#: Of ONNX's TensorProto.DataType, those that weights have.
ONNX_FLOATS = {1: '<f4', 10: '<f2', 11: '<f8'}

#: ONNX's TensorProto.DataLocation: in another file.
EXTERNAL = 1

#: Dimensions that no weight has.
MAX_DIMENSIONS = 8


def read_caffe(path: str) -> File:
    """The weights by the names ``LAYER.blobs.NUMBER``, with the shapes that the file gives."""
    net = _parse(path, 'Caffe', CAFFE, 'NetParameter')
    weights = {}
    for layer in (*net.layers, *net.layer):
        for number, blob in enumerate(layer.blobs):
            name = f'{layer.name}.blobs.{number}'
            kind, parts = ('<f4', blob.data) if blob.data else ('<f8', blob.double_data)
            sides = (blob.num, blob.channels, blob.height, blob.width)
            shape = tuple(blob.shape.dim) if blob.HasField('shape') else sides
            weights[name] = _array(b''.join(parts), kind, shape, f'{path}: {name}')
    return File(weights)


def read_onnx(path: str) -> File:
    """The initializers that are floating-point numbers, by their names, and the metadata of
    this package's exports; not the graph."""
    model = _parse(path, 'ONNX', ONNX, 'ModelProto')
    weights = {}
    for tensor in model.graph.initializer:
        if tensor.data_type not in ONNX_FLOATS:
            continue
        where = f'{path}: {tensor.name}'
        if tensor.data_location == EXTERNAL:
            raise ValueError(
                f'{where} is in another file: save the model in one '
                "(onnx.save(onnx.load('MODEL.onnx'), 'ONE.onnx'))"
            )
        content = tensor.raw_data or b''.join(tensor.float_data)
        kind = ONNX_FLOATS[tensor.data_type]
        weights[tensor.name] = _array(content, kind, tuple(tensor.dims), where)
    return File(weights, meta_of({prop.key: prop.value for prop in model.metadata_props}))


def _array(content: bytes, kind: str, shape: tuple[int, ...], where: str) -> torch.Tensor:
    expected = math.prod(shape) * np.dtype(kind).itemsize
    possible = min(shape, default=1) >= 0 and len(shape) <= MAX_DIMENSIONS
    if not possible or len(content) != expected:
        raise ValueError(
            f'{where} has the shape {shape}, {expected:,} bytes, but {len(content):,} in the file'
        )
    # A copy: the bytes belong to the message.
    return torch.from_numpy(np.frombuffer(content, kind).astype(np.float32).reshape(shape))


def _parse(path: str, library: str, schema: Schema, outermost: str) -> Message:
    """A file as its outermost message; a ValueError, in one line, if it is none."""
    package = f'vgg_mm.{library.lower()}'
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_described(schema, package))
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(f'{package}.{outermost}'))
    message = kind()
    try:
        with open(path, 'rb') as file:
            message.ParseFromString(file.read())
    except DecodeError as error:
        raise ValueError(f'{path} is truncated or no {library} file: {error}') from error
    return message


def _described(schema: Schema, package: str) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=f'{package}.proto', package=package)
    for message, fields in schema.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            field = described.field.add(name=name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f'.{package}.{kind}'
            else:
                field.type = kind
    return file
