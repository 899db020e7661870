"""Every field kind, also those that no message uses yet, singular, optional, repeated and in maps."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycontainerd.wire.codec import Message
from pycontainerd.wire.scalars import SCALARS, DecodeError, read_tag, read_varint, write_varint

F = descriptor_pb2.FieldDescriptorProto
SIGNED32, SIGNED64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
VALUES: dict[int, st.SearchStrategy[Any]] = {
    F.TYPE_DOUBLE: st.floats(allow_nan=False),
    F.TYPE_FLOAT: st.floats(allow_nan=False, width=32),
    F.TYPE_INT64: SIGNED64,
    F.TYPE_UINT64: st.integers(0, 2**64 - 1),
    F.TYPE_INT32: SIGNED32,
    F.TYPE_FIXED64: st.integers(0, 2**64 - 1),
    F.TYPE_FIXED32: st.integers(0, 2**32 - 1),
    F.TYPE_BOOL: st.booleans(),
    F.TYPE_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    F.TYPE_BYTES: st.binary(max_size=10),
    F.TYPE_UINT32: st.integers(0, 2**32 - 1),
    F.TYPE_SFIXED32: SIGNED32,
    F.TYPE_SFIXED64: SIGNED64,
    F.TYPE_SINT32: SIGNED32,
    F.TYPE_SINT64: SIGNED64,
}
KEYS = set(VALUES) - {F.TYPE_DOUBLE, F.TYPE_FLOAT, F.TYPE_BYTES}


def _google_class() -> Any:
    """A message with fields s<kind>, o<kind> (optional), r<kind> (repeated) and m<kind> (map<kind, kind>)."""
    file = descriptor_pb2.FileDescriptorProto(name="kinds.proto", package="pycontainerd.tests", syntax="proto3")
    message = file.message_type.add(name="Kinds")
    for kind in VALUES:
        message.field.add(name=f"s{kind}", number=kind, type=kind, label=F.LABEL_OPTIONAL)
        message.field.add(
            name=f"o{kind}", number=100 + kind, type=kind, label=F.LABEL_OPTIONAL,
            proto3_optional=True, oneof_index=len(message.oneof_decl),
        )  # fmt: skip
        message.oneof_decl.add(name=f"_o{kind}")
        message.field.add(name=f"r{kind}", number=200 + kind, type=kind, label=F.LABEL_REPEATED)
        if kind in KEYS:
            entry = message.nested_type.add(name=f"M{kind}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=kind, label=F.LABEL_OPTIONAL)
            entry.field.add(name="value", number=2, type=kind, label=F.LABEL_OPTIONAL)
            message.field.add(
                name=f"m{kind}", number=300 + kind, type=F.TYPE_MESSAGE, label=F.LABEL_REPEATED,
                type_name=f".pycontainerd.tests.Kinds.M{kind}Entry",
            )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pycontainerd.tests.Kinds"))


GoogleKinds = _google_class()
FIELDS: tuple[Any, ...] = tuple(
    field
    for kind in VALUES
    for field in (
        (kind, f"s{kind}", kind, 0, None),
        (100 + kind, f"o{kind}", kind, 1, None),
        (200 + kind, f"r{kind}", kind, 2, None),
        *([(300 + kind, f"m{kind}", F.TYPE_MESSAGE, 3, (kind, kind, None))] if kind in KEYS else []),
    )
)


class Kinds(Message):
    __slots__ = tuple(field[1] for field in FIELDS)
    TYPE = "pycontainerd.tests.Kinds"
    FIELDS = FIELDS

    def __init__(self) -> None:
        for _number, name, kind, label, _ref in FIELDS:
            setattr(self, name, [SCALARS[kind][3] if label == 0 else None, [], {}][max(0, label - 1)])


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_kind_in_every_place_reads_and_writes_as_googles_does(data: st.DataObject) -> None:
    value: Any
    mine, theirs = Kinds(), GoogleKinds()
    for _number, name, kind, label, ref in FIELDS:
        if not data.draw(st.booleans()):
            continue
        if label == 3:
            value = data.draw(st.dictionaries(VALUES[ref[0]], VALUES[ref[1]], max_size=2))
            getattr(theirs, name).update(value)
        elif label == 2:
            value = data.draw(st.lists(VALUES[kind], max_size=3))
            getattr(theirs, name).extend(value)
        else:
            value = data.draw(VALUES[kind])
            setattr(theirs, name, value)
        setattr(mine, name, value)
    encoded = mine.encode()
    assert GoogleKinds.FromString(encoded) == theirs
    assert Kinds.decode(theirs.SerializeToString()) == mine
    assert sorted(encoded) == sorted(theirs.SerializeToString())


@given(st.integers(0, 2**64 - 1))
def test_varints_come_back(value: int) -> None:
    data = write_varint(value)
    assert read_varint(data + b"\xff", 0) == (value, len(data))


def test_bits_beyond_64_are_dropped_and_an_eleventh_byte_is_refused() -> None:
    assert read_varint(b"\xff" * 9 + b"\x7f", 0) == (2**64 - 1, 10)
    with pytest.raises(DecodeError):
        read_varint(b"\xff" * 10 + b"\x01", 0)
    with pytest.raises(IndexError):
        read_varint(b"\xff\xff", 0)
    with pytest.raises(DecodeError):
        read_tag(b"\x88\x80\x80\x80\x80\x00", 0)
