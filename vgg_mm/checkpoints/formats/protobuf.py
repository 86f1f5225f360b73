"""Protobuf messages of which only the fields that hold weights are described."""

from typing import Union

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

_Field = descriptor_pb2.FieldDescriptorProto
TEXT, BYTES, INT32, INT64 = (
    _Field.TYPE_STRING, _Field.TYPE_BYTES, _Field.TYPE_INT32, _Field.TYPE_INT64
)  # fmt: skip

#: message -> {field: (number, type or message, repeated)}. Packed numbers have the same bytes as a
#: text of bytes: declared as such, 138 million numbers come as one block.
Schema = dict[str, dict[str, tuple[int, Union[int, str], bool]]]


def parse(path: str, library: str, schema: Schema, outermost: str) -> Message:
    """A file as its outermost message.

    Raises:
        ValueError: in one line, if it is none.
    """
    message = _message_class(f'vgg_mm.{library.lower()}', schema, outermost)()
    try:
        with open(path, 'rb') as file:
            message.ParseFromString(file.read())
    except DecodeError as error:
        raise ValueError(f'{path} is truncated or no {library} file: {error}') from error
    return message


#: 'package.message' -> its class; a pool takes each description once.
_CLASSES: dict[str, type[Message]] = {}


def _message_class(package: str, schema: Schema, outermost: str) -> type[Message]:
    name = f'{package}.{outermost}'
    if name not in _CLASSES:
        pool = descriptor_pool.DescriptorPool()
        pool.Add(_described(schema, package))
        _CLASSES[name] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    return _CLASSES[name]


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
