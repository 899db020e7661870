"""Protobuf values as bytes: one reader and one writer for each field kind.

Kinds are the numbers of `google.protobuf.FieldDescriptorProto.Type`. A reader takes `(buf, pos, end, ref, depth)` and
returns `(value, position after it)`; on input that is cut short it may run past `end`, or raise IndexError: the caller
checks once for all. A writer takes `(value, ref)` and returns the bytes after the tag, without the length prefix that
some kinds have; it raises TypeError or ValueError for a value the field cannot hold. `ref` is None except for messages
(`tables.Ref`).

What is accepted is what Google's parsers accept, so that a peer never sees two opinions about the same bytes.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Buffer = bytes | memoryview
    Read = Callable[[Buffer, int, int, Any, int], tuple[Any, int]]
    Write = Callable[[Any, Any], bytes]

DOUBLE, FLOAT, INT64, UINT64, INT32, FIXED64, FIXED32, BOOL, STRING = 1, 2, 3, 4, 5, 6, 7, 8, 9
MESSAGE, BYTES, UINT32, ENUM, SFIXED32, SFIXED64, SINT32, SINT64 = 11, 12, 13, 14, 15, 16, 17, 18

VARINT, I64, LEN, START_GROUP, END_GROUP, I32 = 0, 1, 2, 3, 4, 5  # wire types

_MASK64 = 0xFFFFFFFFFFFFFFFF
_ONE_BYTE = tuple(bytes((value,)) for value in range(128))


class DecodeError(ValueError):
    """The bytes are not a message of the wanted type."""


class EncodeError(ValueError):
    """A field holds a value that its type does not allow."""


# varints


def write_varint(value: int) -> bytes:
    """A non-negative integer as a varint."""
    if value < 128:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(buf: Buffer, pos: int) -> tuple[int, int]:
    """An unsigned varint of up to 64 bits; raise IndexError at the end of the buffer, `DecodeError` past ten bytes."""
    byte = buf[pos]
    pos += 1
    if byte < 128:
        return byte, pos
    value = byte & 127
    for shift in range(7, 70, 7):
        byte = buf[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK64, pos
    raise DecodeError("a varint has more than ten bytes")


def read_tag(buf: Buffer, pos: int) -> tuple[int, int]:
    """A field tag (number and wire type); raise `DecodeError` beyond 32 bits or five bytes."""
    tag, after = read_varint(buf, pos)
    if tag > 0xFFFFFFFF or after - pos > 5:
        raise DecodeError("a field tag has more than 32 bits")
    return tag, after


def _read_uint64(buf: Buffer, pos: int, _end: int, _ref: Any, _depth: int) -> tuple[int, int]:
    return read_varint(buf, pos)


def _read_uint32(buf: Buffer, pos: int, _end: int, _ref: Any, _depth: int) -> tuple[int, int]:
    value, pos = read_varint(buf, pos)
    return value & 0xFFFFFFFF, pos


def _read_int64(buf: Buffer, pos: int, _end: int, _ref: Any, _depth: int) -> tuple[int, int]:
    value, pos = read_varint(buf, pos)
    return (value - (1 << 64) if value >> 63 else value), pos


def _read_int32(buf: Buffer, pos: int, _end: int, _ref: Any, _depth: int) -> tuple[int, int]:
    value, pos = read_varint(buf, pos)
    value &= 0xFFFFFFFF
    return (value - (1 << 32) if value >> 31 else value), pos


def _read_sint64(buf: Buffer, pos: int, _end: int, _ref: Any, _depth: int) -> tuple[int, int]:
    value, pos = read_varint(buf, pos)
    return (value >> 1) ^ -(value & 1), pos


def _read_sint32(buf: Buffer, pos: int, _end: int, _ref: Any, _depth: int) -> tuple[int, int]:
    value, pos = read_varint(buf, pos)
    value &= 0xFFFFFFFF
    return (value >> 1) ^ -(value & 1), pos


def _read_bool(buf: Buffer, pos: int, _end: int, _ref: Any, _depth: int) -> tuple[bool, int]:
    value, pos = read_varint(buf, pos)
    return value != 0, pos


def _integer(name: str, bits: int, *, signed: bool, zigzag: bool = False) -> Write:
    """The writer of an integer kind; negative numbers of the plain kinds take ten bytes, as protobuf has it."""
    low = -(1 << bits - 1) if signed else 0
    high = (1 << bits - 1 if signed else 1 << bits) - 1

    def write(value: Any, _ref: Any) -> bytes:
        if not low <= value <= high:
            raise ValueError(f"{value} does not fit in {name}")
        if zigzag:
            return write_varint(value << 1 if value >= 0 else (-value << 1) - 1)
        return write_varint(value if value >= 0 else value & _MASK64)

    return write


def _write_bool(value: Any, _ref: Any) -> bytes:
    if value is not True and value is not False:
        raise TypeError(f"wants a bool, got {type(value).__name__}")
    return b"\1" if value else b"\0"


# fixed width


def _fixed(layout: str) -> tuple[Read, Write]:
    fmt = Struct(layout)
    size = fmt.size

    def read(buf: Buffer, pos: int, end: int, _ref: Any, _depth: int) -> tuple[Any, int]:
        stop = pos + size
        if stop > end:
            raise IndexError
        return fmt.unpack_from(buf, pos)[0], stop

    def write(value: Any, _ref: Any) -> bytes:
        return fmt.pack(value)

    return read, write


# length-delimited


def read_length(buf: Buffer, pos: int, end: int) -> tuple[int, int]:
    """The (start, stop) of a length-delimited value; raise IndexError when it reaches beyond `end`."""
    size = buf[pos]
    pos += 1
    if size > 127:
        size, pos = read_varint(buf, pos - 1)
    stop = pos + size
    if stop > end:
        raise IndexError
    return pos, stop


def _read_string(buf: Buffer, pos: int, end: int, _ref: Any, _depth: int) -> tuple[str, int]:
    pos, stop = read_length(buf, pos, end)
    return str(buf[pos:stop], "utf-8"), stop


def _write_string(value: Any, _ref: Any) -> bytes:
    return str.encode(value)  # not value.encode(), which messages have too


def _read_bytes(buf: Buffer, pos: int, end: int, _ref: Any, _depth: int) -> tuple[bytes, int]:
    pos, stop = read_length(buf, pos, end)
    return bytes(buf[pos:stop]), stop


def _write_bytes(value: Any, _ref: Any) -> bytes:
    # bytes(value) would turn a number into that many zeros; a view refuses it.
    return value if type(value) is bytes else memoryview(value).tobytes()


# skipping what is not known


def skip(buf: Buffer, pos: int, end: int, tag: int, depth: int) -> int:
    """The position after the value of an unknown field; raise `DecodeError` for what is no field at all."""
    kind = tag & 7
    if tag < 8:
        raise DecodeError("field number 0 is not allowed")
    if kind == VARINT:
        return read_varint(buf, pos)[1]
    if kind == LEN:
        return read_length(buf, pos, end)[1]
    if kind == I64:
        return pos + 8
    if kind == I32:
        return pos + 4
    if kind == START_GROUP:
        return _skip_group(buf, pos, end, tag, depth)
    raise DecodeError("a group ends that never began" if kind == END_GROUP else f"wire type {kind} does not exist")


def _skip_group(buf: Buffer, pos: int, end: int, opened: int, depth: int) -> int:
    if depth <= 1:
        raise DecodeError("groups are nested too deep")
    while pos < end:
        tag, pos = read_tag(buf, pos)
        if tag == opened + 1:  # the same number with wire type END_GROUP
            return pos
        pos = skip(buf, pos, end, tag, depth - 1)
    raise IndexError


_f64, _f32 = _fixed("<d"), _fixed("<f")
_x64, _x32, _sx64, _sx32 = _fixed("<Q"), _fixed("<I"), _fixed("<q"), _fixed("<i")
_INT32 = _integer("int32", 32, signed=True)

# kind -> (wire type, reader, writer, default); messages are the codec's own matter
SCALARS: dict[int, tuple[int, Read, Write, Any]] = {
    DOUBLE: (I64, *_f64, 0.0),
    FLOAT: (I32, *_f32, 0.0),
    INT64: (VARINT, _read_int64, _integer("int64", 64, signed=True), 0),
    UINT64: (VARINT, _read_uint64, _integer("uint64", 64, signed=False), 0),
    INT32: (VARINT, _read_int32, _INT32, 0),
    FIXED64: (I64, *_x64, 0),
    FIXED32: (I32, *_x32, 0),
    BOOL: (VARINT, _read_bool, _write_bool, False),
    STRING: (LEN, _read_string, _write_string, ""),
    BYTES: (LEN, _read_bytes, _write_bytes, b""),
    UINT32: (VARINT, _read_uint32, _integer("uint32", 32, signed=False), 0),
    ENUM: (VARINT, _read_int32, _INT32, 0),
    SFIXED32: (I32, *_sx32, 0),
    SFIXED64: (I64, *_sx64, 0),
    SINT32: (VARINT, _read_sint32, _integer("sint32", 32, signed=True, zigzag=True), 0),
    SINT64: (VARINT, _read_sint64, _integer("sint64", 64, signed=True, zigzag=True), 0),
}
