"""From the `FIELDS` of a message class to the two tables that the codec walks.

Encoding walks rows `(emit, name, explicit)`: `emit(parts, value)` appends the field, tag included. Decoding looks each
tag up in a dict of stores: `store(message, buf, pos, end, depth)` reads the value, keeps it and returns the position
after it. Both are built when a class is first used, so that importing a module costs no more than its classes.
"""

from __future__ import annotations

from pycontainerd.wire.scalars import (
    BYTES,
    DOUBLE,
    FLOAT,
    LEN,
    MESSAGE,
    SCALARS,
    STRING,
    DecodeError,
    read_length,
    read_tag,
    skip,
    write_varint,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pycontainerd.wire.codec import Message
    from pycontainerd.wire.scalars import Buffer, Read, Write

    Field = tuple[int, str, int, int, Any]
    Emit = Callable[[list[bytes], Any], None]
    Store = Callable[[Any, Buffer, int, int, int], int]
    Rows = tuple[tuple[Emit, str, bool], ...]
    Stores = dict[int, Store]

IMPLICIT, EXPLICIT, REPEATED, MAP = 0, 1, 2, 3  # labels: zero means absent, None means absent, list, dict
_PACKAGE = "pycontainerd.wire.messages."


class Ref:
    """A message class named by a field (`"module:Class"`), imported when the first such message is met."""

    __slots__ = ("_cls", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._cls: type[Message] | None = None

    def load(self) -> type[Message]:
        """The class; imports its module the first time."""
        cls = self._cls
        if cls is None:
            module, _, qualname = self.path.partition(":")
            target: Any = __import__(_PACKAGE + module, None, None, ["*"])
            for part in qualname.split("."):
                target = getattr(target, part)
            cls = self._cls = target
        return cls


_refs: dict[str, Ref] = {}


def ref_to(path: str) -> Ref:
    """The one `Ref` of a path."""
    ref = _refs.get(path)
    if ref is None:
        ref = _refs[path] = Ref(path)
    return ref


def link(fields: tuple[Field, ...], oneofs: dict[str, tuple[str, ...]]) -> tuple[Rows, Stores]:
    """The encode rows, in the order of field numbers, and the decode stores of a class."""
    rows: list[tuple[Emit, str, bool]] = []
    stores: Stores = {}
    others = {
        name: tuple(other for other in members if other != name) for members in oneofs.values() for name in members
    }
    for field in sorted(fields):
        number, name, kind, label, ref = field
        if label == MAP:
            emit = _link_map(number, name, ref, stores)
        elif label == REPEATED:
            emit = _link_repeated(number, name, kind, ref, stores)
        else:
            emit = _link_single(field, others.get(name, ()), stores)
        # A float decides for itself, because minus zero is falsy and yet not the default.
        rows.append((emit, name, label == EXPLICIT or (label == IMPLICIT and kind in (DOUBLE, FLOAT))))
    return tuple(rows), stores


def merge(message: object, stores: Stores, buf: Buffer, pos: int, end: int, depth: int) -> None:
    """Read the fields in `buf[pos:end]` into `message`; raise `DecodeError`, or IndexError where they are cut short."""
    if depth <= 0:
        raise DecodeError("messages are nested too deep")
    while pos < end:
        tag = buf[pos]
        if tag < 128:
            pos += 1
        else:
            tag, pos = read_tag(buf, pos)
        store = stores.get(tag)
        pos = skip(buf, pos, end, tag, depth) if store is None else store(message, buf, pos, end, depth)
    if pos > end:
        raise IndexError


def _parts(kind: int, path: str | None) -> tuple[int, Read, Write, Any, Ref | None]:
    """(wire type, reader, writer, default, ref) of a kind."""
    if kind == MESSAGE and path is not None:
        return LEN, _read_message, _write_message, None, ref_to(path)
    return (*SCALARS[kind], None)


# one value


def _link_single(field: Field, others: tuple[str, ...], stores: Stores) -> Emit:
    number, name, kind, label, path = field
    wire, read, write, _default, ref = _parts(kind, path)
    store = _keep_message(name, ref) if ref is not None else _keep(name, read)
    stores[number << 3 | wire] = _keep_member(store, others) if others else store
    tag = write_varint(number << 3 | wire)
    if wire == LEN:
        return _emit_sized(tag, write, ref)
    omit_zero = kind in (DOUBLE, FLOAT) and label == IMPLICIT

    def emit(parts: list[bytes], value: Any) -> None:
        data = write(value, None)
        if omit_zero and not data.strip(b"\0"):
            return
        parts.append(tag)
        parts.append(data)

    return emit


def _emit_sized(tag: bytes, write: Write, ref: Ref | None) -> Emit:
    def emit(parts: list[bytes], value: Any) -> None:
        data = write(value, ref)
        parts.append(tag)
        parts.append(write_varint(len(data)))
        parts.append(data)

    return emit


def _keep(name: str, read: Read) -> Store:
    def store(message: Any, buf: Buffer, pos: int, end: int, depth: int) -> int:
        value, pos = read(buf, pos, end, None, depth)
        setattr(message, name, value)
        return pos

    return store


def _keep_message(name: str, ref: Ref) -> Store:
    def store(message: Any, buf: Buffer, pos: int, end: int, depth: int) -> int:
        # A sub-message that comes in pieces is merged, as protobuf rules.
        value = getattr(message, name)
        if value is None:
            value = ref.load()()
            setattr(message, name, value)
        pos, stop = read_length(buf, pos, end)
        merge(value, value.stores(), buf, pos, stop, depth - 1)
        return stop

    return store


def _keep_member(keep: Store, others: tuple[str, ...]) -> Store:
    """For a member of a oneof: the last one on the wire wins."""

    def store(message: Any, buf: Buffer, pos: int, end: int, depth: int) -> int:
        for other in others:
            setattr(message, other, None)
        return keep(message, buf, pos, end, depth)

    return store


def _read_message(buf: Buffer, pos: int, end: int, ref: Ref, depth: int) -> tuple[Message, int]:
    pos, stop = read_length(buf, pos, end)
    message = ref.load()()
    merge(message, message.stores(), buf, pos, stop, depth - 1)
    return message, stop


def _write_message(value: Any, ref: Ref) -> bytes:
    cls = ref.load()
    if type(value) is not cls:
        raise TypeError(f"wants a {cls.TYPE}, got {getattr(type(value), 'TYPE', type(value).__name__)}")
    data: bytes = value.encode()
    return data


# many values


def _link_repeated(number: int, name: str, kind: int, path: str | None, stores: Stores) -> Emit:
    wire, read, write, _default, ref = _parts(kind, path)

    def append(message: Any, buf: Buffer, pos: int, end: int, depth: int) -> int:
        value, pos = read(buf, pos, end, ref, depth)
        getattr(message, name).append(value)
        return pos

    stores[number << 3 | wire] = append
    if kind not in (MESSAGE, STRING, BYTES):
        # Numbers are written packed and read in both forms.
        stores[number << 3 | LEN] = _append_packed(name, read)
        return _emit_packed(write_varint(number << 3 | LEN), write)
    tag = write_varint(number << 3 | wire)

    emit_one = _emit_sized(tag, write, ref)

    def emit(parts: list[bytes], value: Any) -> None:
        for item in value:
            emit_one(parts, item)

    return emit


def _append_packed(name: str, read: Read) -> Store:
    def store(message: Any, buf: Buffer, pos: int, end: int, depth: int) -> int:
        values = getattr(message, name)
        pos, stop = read_length(buf, pos, end)
        while pos < stop:
            value, pos = read(buf, pos, stop, None, depth)
            values.append(value)
        if pos > stop:
            raise IndexError
        return stop

    return store


def _emit_packed(tag: bytes, write: Write) -> Emit:
    def emit(parts: list[bytes], value: Any) -> None:
        data = b"".join([write(item, None) for item in value])
        parts.extend((tag, write_varint(len(data)), data))

    return emit


# maps


class _Entry:
    """One map entry while it is read."""

    __slots__ = ("key", "value")

    def __init__(self, key: Any, value: Any) -> None:
        self.key = key
        self.value = value


def _link_map(number: int, name: str, ref: tuple[int, int, str | None], stores: Stores) -> Emit:
    key_wire, read_key, write_key, key_default, _none = _parts(ref[0], None)
    wire, read, write, default, value_ref = _parts(ref[1], ref[2])
    entry_stores: Stores = {
        1 << 3 | key_wire: _keep("key", read_key),
        2 << 3 | wire: _keep("value", read) if value_ref is None else _keep_message("value", value_ref),
    }

    def put(message: Any, buf: Buffer, pos: int, end: int, depth: int) -> int:
        entry = _Entry(key_default, default if value_ref is None else value_ref.load()())
        pos, stop = read_length(buf, pos, end)
        merge(entry, entry_stores, buf, pos, stop, depth - 1)
        getattr(message, name)[entry.key] = entry.value
        return stop

    stores[number << 3 | LEN] = put
    tag = write_varint(number << 3 | LEN)
    emit_key = _emit_entry(1, key_wire, write_key, None)
    emit_value = _emit_entry(2, wire, write, value_ref)

    def emit(parts: list[bytes], value: Any) -> None:
        for key, item in value.items():
            entry: list[bytes] = []
            emit_key(entry, key)
            emit_value(entry, item)
            data = b"".join(entry)
            parts.extend((tag, write_varint(len(data)), data))

    return emit


def _emit_entry(number: int, wire: int, write: Write, ref: Ref | None) -> Emit:
    """Key or value of a map entry: written even when zero."""
    tag = write_varint(number << 3 | wire)
    if wire == LEN:
        return _emit_sized(tag, write, ref)

    def emit(parts: list[bytes], value: Any) -> None:
        parts.append(tag)
        parts.append(write(value, None))

    return emit
