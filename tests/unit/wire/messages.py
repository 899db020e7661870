"""All generated message classes beside Google's, conversions between the two, and hypothesis strategies."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory, wrappers_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet
from google.rpc import code_pb2, error_details_pb2
from hypothesis import strategies as st

import pycontainerd.api
from pycontainerd.wire.messages import index
from pycontainerd.wire.tables import ref_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message as GoogleMessage

    from pycontainerd.wire.codec import Message

F = FieldDescriptor
FOREIGN = (wrappers_pb2, code_pb2, error_details_pb2)


def _import_api() -> None:
    top = Path(pycontainerd.api.__path__[0])
    for path in sorted(top.rglob("*_pb2.py")):
        importlib.import_module("pycontainerd.api." + ".".join(path.relative_to(top).with_suffix("").parts))


_import_api()
TYPES = sorted(index.MESSAGES)


def ours(type_name: str) -> type[Message]:
    return ref_to(index.MESSAGES[type_name]).load()


def google(type_name: str) -> type[GoogleMessage]:
    return message_factory.GetMessageClass(descriptor(type_name))


def descriptor(type_name: str) -> Descriptor:
    found: Descriptor = descriptor_pool.Default().FindMessageTypeByName(type_name)
    return found


def is_map(field: Any) -> bool:
    return field.type == F.TYPE_MESSAGE and bool(field.message_type.GetOptions().map_entry)


def to_ours(message: GoogleMessage) -> Message:
    """The same message as an object of the small codec, field by field, without either codec."""
    cls = ours(message.DESCRIPTOR.full_name)
    values: dict[str, Any] = {}
    field: Any
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if is_map(field):
            by_message = field.message_type.fields_by_name["value"].type == F.TYPE_MESSAGE
            values[field.name] = {key: to_ours(item) if by_message else item for key, item in value.items()}
        elif field.is_repeated:
            values[field.name] = [to_ours(item) if field.type == F.TYPE_MESSAGE else item for item in value]
        elif field.has_presence and not message.HasField(field.name):
            values[field.name] = None
        else:
            values[field.name] = to_ours(value) if field.type == F.TYPE_MESSAGE else value
    return cls(**values)


def drops_an_entry(message: GoogleMessage) -> bool:
    """Whether Google's Python parser left out a map entry because the entry held an unknown field.

    Its C, Go and Java parsers drop the field and keep the entry, and so do we.
    """
    maps = {field.number for field in message.DESCRIPTOR.fields if is_map(field)}
    unknown: Any = UnknownFieldSet(message)
    if any(field.field_number in maps for field in unknown):
        return True
    return any(drops_an_entry(child) for child in _children(message))


def _children(message: GoogleMessage) -> Iterator[GoogleMessage]:
    field: Any
    for field, value in message.ListFields():
        if is_map(field):
            if field.message_type.fields_by_name["value"].type == F.TYPE_MESSAGE:
                yield from value.values()
        elif field.type == F.TYPE_MESSAGE:
            yield from value if field.is_repeated else (value,)


_INTS = {
    F.TYPE_INT32: (-(2**31), 2**31 - 1),
    F.TYPE_ENUM: (-(2**31), 2**31 - 1),
    F.TYPE_INT64: (-(2**63), 2**63 - 1),
    F.TYPE_UINT32: (0, 2**32 - 1),
    F.TYPE_UINT64: (0, 2**64 - 1),
    F.TYPE_FIXED64: (0, 2**64 - 1),
}
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def scalars(field: Any) -> st.SearchStrategy[Any]:
    if field.type in _INTS:
        low, high = _INTS[field.type]
        return st.one_of(st.sampled_from([0, low, high]), st.integers(low, high))
    if field.type == F.TYPE_STRING:
        return _TEXT
    if field.type == F.TYPE_BYTES:
        return st.binary(max_size=300)
    if field.type == F.TYPE_BOOL:
        return st.booleans()
    return st.floats(allow_nan=False, width=32 if field.type == F.TYPE_FLOAT else 64)


@cache
def google_messages(type_name: str, depth: int = 3) -> st.SearchStrategy[GoogleMessage]:
    """Google messages of a type with any subset of fields set."""
    return st.composite(_draw_message)(type_name, depth)


def _draw_message(draw: Any, type_name: str, depth: int) -> GoogleMessage:
    message = google(type_name)()
    for field in message.DESCRIPTOR.fields:
        if draw(st.booleans()):
            _draw_field(draw, message, field, depth)
    return message


def _draw_field(draw: Any, message: GoogleMessage, field: Any, depth: int) -> None:
    target = getattr(message, field.name)
    if field.type == F.TYPE_MESSAGE and depth == 0:
        return
    if is_map(field):
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        for item in draw(st.lists(scalars(key), max_size=2)):
            if value.type == F.TYPE_MESSAGE:
                target[item].CopyFrom(draw(google_messages(value.message_type.full_name, depth - 1)))
            else:
                target[item] = draw(scalars(value))
    elif field.type == F.TYPE_MESSAGE:
        drawn = google_messages(field.message_type.full_name, depth - 1)
        if field.is_repeated:
            target.extend(draw(st.lists(drawn, max_size=2)))
        else:
            target.CopyFrom(draw(drawn))
            target.SetInParent()
    elif field.is_repeated:
        target.extend(draw(st.lists(scalars(field), max_size=3)))
    else:
        setattr(message, field.name, draw(scalars(field)))
