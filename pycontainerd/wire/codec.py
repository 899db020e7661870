"""A small protobuf codec: messages are classes with slots and a table of fields, which this module walks.

The classes are generated (`wire/messages/`); each has `TYPE`, its full protobuf name, and `FIELDS`, a tuple of
`(number, name, kind, label, ref)`:

- kind: see `scalars`; label: see `tables`;
- ref: for messages `"module:Class"` of `wire/messages`, for maps `(key kind, value kind, value ref)`, else None.

Values: repeated fields are lists, maps dicts, enums ints; a sub-message, an `optional` field or a member of a oneof
that is absent is None, every other absent field is its zero value. Unknown fields are dropped on decoding, and, as
protobuf rules, so is a field that comes in another wire type than its own.
"""

from __future__ import annotations

from struct import error as struct_error

from pycontainerd.wire.scalars import MESSAGE, DecodeError, EncodeError
from pycontainerd.wire.tables import EXPLICIT, MAP, link, merge, ref_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar, Self

    from pycontainerd.wire.tables import Field, Rows, Stores

__all__ = ["DecodeError", "EncodeError", "Message", "names", "warm"]

MAX_DEPTH = 100  # nested messages and groups, as in Google's parsers


class Message:
    """Base of all generated messages."""

    __slots__ = ()
    TYPE: ClassVar[str]
    FIELDS: ClassVar[tuple[Field, ...]] = ()
    ONEOFS: ClassVar[dict[str, tuple[str, ...]]] = {}
    _linked: ClassVar[tuple[Rows, Stores] | None] = None

    def encode(self) -> bytes:
        """The wire form; raise `EncodeError` naming the field that holds what it cannot hold."""
        linked = self._linked
        parts: list[bytes] = []
        name = ""
        try:
            for emit, name, explicit in (linked or self._link())[0]:
                value = getattr(self, name)
                if value or (explicit and value is not None):
                    emit(parts, value)
        except EncodeError:
            raise
        except (TypeError, ValueError, AttributeError, struct_error) as error:
            raise EncodeError(f"{self.TYPE}.{name}: {error}") from error
        if self.ONEOFS:
            self._check_oneofs()
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> Self:
        """The message that `data` holds; raise `DecodeError`. The result keeps no reference to `data`."""
        message = cls()
        buf = data if type(data) is bytes else memoryview(data).cast("B")
        try:
            merge(message, cls.stores(), buf, 0, len(buf), MAX_DEPTH)
        except IndexError:
            raise DecodeError(f"{cls.TYPE}: the bytes end within a field") from None
        except UnicodeDecodeError as error:
            raise DecodeError(f"{cls.TYPE}: a string is not UTF-8 ({error.reason})") from error
        except DecodeError as error:
            raise DecodeError(f"{cls.TYPE}: {error}") from error
        return message

    def which(self, oneof: str) -> str | None:
        """The name of the member of `oneof` that is set, or None; raise KeyError if there is no such oneof."""
        for name in self.ONEOFS[oneof]:
            if getattr(self, name) is not None:
                return name
        return None

    @classmethod
    def stores(cls) -> Stores:
        """What decoding looks tags up in; see `tables`."""
        return (cls._linked or cls._link())[1]

    @classmethod
    def _link(cls) -> tuple[Rows, Stores]:
        # Doing it twice does no harm, so threads need no lock.
        cls._linked = linked = link(cls.FIELDS, cls.ONEOFS)
        return linked

    def _check_oneofs(self) -> None:
        for oneof, members in self.ONEOFS.items():
            present = [name for name in members if getattr(self, name) is not None]
            if len(present) > 1:
                raise EncodeError(f"{self.TYPE}.{oneof}: only one of {', '.join(present)} may be set")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field[1]) == getattr(other, field[1]) for field in self.FIELDS)

    __hash__ = None  # type: ignore[assignment]  # a message can change

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(self._shown())})"

    def _shown(self) -> Iterator[str]:
        for _number, name, _kind, label, _ref in self.FIELDS:
            value = getattr(self, name)
            if value or (label == EXPLICIT and value is not None):
                yield f"{name}={value!r}"


def warm(*classes: type[Message]) -> None:
    """Import and link these classes and every class they can hold, for a process that must not import later."""
    seen: set[type[Message]] = set()
    todo = list(classes)
    while todo:
        cls = todo.pop()
        if cls in seen:
            continue
        seen.add(cls)
        cls.stores()
        for _number, _name, kind, label, ref in cls.FIELDS:
            path = ref[2] if label == MAP else ref if kind == MESSAGE else None
            if path is not None:
                todo.append(ref_to(path).load())


def names(enum: type) -> dict[int, str]:
    """The value names of a generated enum class, by number."""
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}
