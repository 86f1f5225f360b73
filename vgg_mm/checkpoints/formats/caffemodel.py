"""Files of Caffe's nets, read with protobuf and the few fields of its format that hold weights."""

import math
from functools import lru_cache

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from . import File

_Field = descriptor_pb2.FieldDescriptorProto
_TEXT, _BYTES, _INT32, _INT64 = (
    _Field.TYPE_STRING, _Field.TYPE_BYTES, _Field.TYPE_INT32, _Field.TYPE_INT64
)  # fmt: skip

#: message -> {field: (number, type or message, repeated)}; Caffe's caffe.proto has many more.
#: ``data`` is declared there as packed numbers, which have the same bytes as a text of bytes:
#: so 138 million numbers come as one block.
SCHEMA = {
    'BlobShape': {'dim': (1, _INT64, True)},
    'BlobProto': {
        'num': (1, _INT32, False),
        'channels': (2, _INT32, False),
        'height': (3, _INT32, False),
        'width': (4, _INT32, False),
        'data': (5, _BYTES, True),
        'shape': (7, 'BlobShape', False),
        'double_data': (8, _BYTES, True),
    },
    # Of 2014, as in the authors' release, and of today.
    'V1LayerParameter': {'name': (4, _TEXT, False), 'blobs': (6, 'BlobProto', True)},
    'LayerParameter': {'name': (1, _TEXT, False), 'blobs': (7, 'BlobProto', True)},
    'NetParameter': {
        'name': (1, _TEXT, False),
        'layers': (2, 'V1LayerParameter', True),
        'layer': (100, 'LayerParameter', True),
    },
}


@lru_cache(maxsize=1)
def net_parameter() -> type[Message]:
    """The class of the format's outermost message."""
    file = descriptor_pb2.FileDescriptorProto(name='vgg_mm/caffe.proto', package='vgg_mm.caffe')
    for message, fields in SCHEMA.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            field = described.field.add(name=name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f'.vgg_mm.caffe.{kind}'
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('vgg_mm.caffe.NetParameter'))


def read(path: str) -> File:
    """The weights by the names ``LAYER.blobs.NUMBER``, with the shapes that the file gives."""
    net = net_parameter()()
    try:
        with open(path, 'rb') as file:
            net.ParseFromString(file.read())
    except DecodeError as error:
        raise ValueError(f'{path} is truncated or no Caffe file: {error}') from error
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
