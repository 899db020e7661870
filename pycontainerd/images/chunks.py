"""A file object over pieces of bytes, and archives read from one: what importers stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.images import compression
from pycontainerd.images.tarreader import TarReader
from pycontainerd.images.tarstream import ByteStream, Limits, TarError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainerd.core.transfer import Reader
    from pycontainerd.images.tarreader import Entry

_ARCHIVE = Limits(bytes=0, entries=1_000_000)


class Archive:
    """A tar archive from a stream, decompressed when it is; iterate for entries. Raises InvalidArgument throughout."""

    def __init__(self, stream: Reader) -> None:
        try:
            pieces = compression.decompress(lambda size: stream.read(size) or b"")
        except TarError as error:
            raise InvalidArgument("image archive", hint=str(error)) from error
        self._pieces = pieces
        self._stream = ByteStream(self._next)
        self._reader = TarReader(self._stream, _ARCHIVE)

    def _next(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except TarError as error:
            raise InvalidArgument("image archive", hint=str(error)) from error

    def __iter__(self) -> Iterator[Entry]:
        try:
            yield from self._reader
            self._stream.drain()
        except TarError as error:
            raise InvalidArgument("image archive", hint=str(error)) from error

    def content(self) -> Iterator[memoryview]:
        """The current entry's bytes."""
        try:
            yield from self._reader.pieces()
        except TarError as error:
            raise InvalidArgument("image archive", hint=str(error)) from error

    def small(self, limit: int, name: str) -> bytes:
        """The current entry's bytes at once. Raises InvalidArgument above ``limit``."""
        parts: list[bytes] = []
        size = 0
        for piece in self.content():
            size += len(piece)
            if size > limit:
                raise InvalidArgument("image archive", hint=f"{name} is larger than {limit} bytes")
            parts.append(bytes(piece))
        return b"".join(parts)
