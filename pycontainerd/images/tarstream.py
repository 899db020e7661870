"""Bytes on demand from a chunked stream: the floor of the tar reader.

Chunks are whatever the producer has (up to some MiB); ``take`` returns exact pieces and copies only when one spans two
chunks. Used in the daemon (archives) and in the unpack worker, so nothing of the daemon is imported.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class TarError(Exception):
    """Raised for an archive that is broken or forbidden; the text is one clear clause, fit for the caller."""


class Limits:
    """What one archive may hold: ``bytes`` of content (holes of sparse files count), ``entries``, and the ``ratio`` of
    uncompressed to compressed size once ``free`` bytes have come out; 0 switches a limit off."""

    __slots__ = ("bytes", "entries", "free", "ratio")

    def __init__(self, bytes: int = 128 << 30, entries: int = 4_000_000, ratio: int = 500, free: int = 1 << 30) -> None:
        self.bytes, self.entries, self.ratio, self.free = bytes, entries, ratio, free


class ByteStream:
    """Exact reads from ``next_chunk``, which returns ``b""`` at the end (and from then on)."""

    __slots__ = ("_next", "buffer", "position")

    def __init__(self, next_chunk: Callable[[], bytes]) -> None:
        self._next = next_chunk
        self.buffer = b""
        self.position = 0

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end of the stream."""
        start = self.position
        end = start + size
        if end > len(self.buffer):
            return self._take_slow(size)
        self.position = end
        return self.buffer[start:end]

    def _take_slow(self, size: int) -> bytes:
        parts = [self.buffer[self.position :]]
        have = len(parts[0])
        self.buffer, self.position = b"", 0
        while have < size:
            chunk = self._next()
            if not chunk:
                return b"".join(parts)
            parts.append(chunk)
            have += len(chunk)
        surplus = have - size
        if surplus:
            self.buffer = parts.pop()
            self.position = len(self.buffer) - surplus
            parts.append(self.buffer[: self.position])
        return b"".join(parts)

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next ``size`` bytes in uncopied pieces. Raises TarError when the stream ends before."""
        while size:
            if self.position == len(self.buffer):
                self.buffer, self.position = self._next(), 0
                if not self.buffer:
                    raise TarError("the archive is truncated")
            end = min(self.position + size, len(self.buffer))
            piece = memoryview(self.buffer)[self.position : end]
            size -= len(piece)
            self.position = end
            yield piece

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes. Raises TarError when the stream ends before."""
        end = self.position + size
        if end <= len(self.buffer):
            self.position = end
            return
        for _ in self.pieces(size):
            pass

    def drain(self) -> None:
        """Read to the end: what stands behind the archive belongs to the layer's digest."""
        while self.buffer:
            self.buffer = self._next()
        self.position = 0
        while self._next():
            pass
