"""Compressed streams: told apart by their first bytes, decompressed in bounded pieces, and written.

gzip goes through ISA-L (several times faster than zlib), zstd through libzstd. Neither may produce more than a bounded
amount per call: a few KiB of input can stand for gigabytes. Used in the worker, so all imports are at the top.
"""

from __future__ import annotations

import zlib

import zstandard
from isal import isal_zlib

from pycontainerd.images.tarstream import TarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    class Compressor(Protocol):
        """Turns bytes into compressed bytes, in steps."""

        def compress(self, data: bytes, /) -> bytes: ...

        def flush(self) -> bytes: ...


READ = 256 << 10
"""How much compressed input is asked for at a time, in bytes."""
PIECE = 4 << 20
"""Most bytes one piece of output has."""
MAX_WINDOW = 128 << 20
"""Largest zstd window accepted (``zstd --long=27``), in bytes."""
HEAD = 18
"""How many first bytes ``detect`` wants."""

GZIP, ZSTD, PLAIN = "gzip", "zstd", ""

_BROKEN_GZIP: type[Exception] = vars(isal_zlib)["error"]  # typed as an instance in its stubs
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def detect(head: bytes) -> str:
    """GZIP, ZSTD or PLAIN by the first bytes of a stream."""
    if head[:3] == b"\x1f\x8b\x08":
        return GZIP
    if head[:4] == _ZSTD_MAGIC or (len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return ZSTD
    return PLAIN


def decompress(read: Callable[[int], bytes], kind: str | None = None) -> Iterator[bytes]:
    """The uncompressed stream in pieces of at most 4 MiB; ``kind`` None means to look at the content.

    ``read(n)`` returns up to n bytes, ``b""`` at the end. Raises TarError for broken or truncated input.
    """
    head = b""
    while len(head) < HEAD and (more := read(READ)):
        head += more
    kind = detect(head) if kind is None else kind
    if kind == GZIP:
        return _gunzip(head, read)
    if kind == ZSTD:
        return _unzstd(head, read)
    return _plain(head, read)


def _plain(head: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
    while head:
        yield head
        head = read(READ)


def _gunzip(head: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Members one after another, as gzip(1) and Go read them; NUL padding behind the last is let pass."""
    data = head
    while data:
        if data[:1] == b"\0":
            if data.strip(b"\0"):
                raise TarError("there is garbage behind the gzip stream")
            return
        member = isal_zlib.decompressobj(wbits=31)
        try:
            yield from _gzip_member(member, data, read)
        except _BROKEN_GZIP as error:
            raise TarError(f"the gzip stream is broken ({str(error).lower()})") from None
        data = member.unused_data or read(READ)


def _gzip_member(member: isal_zlib.Decompress, data: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
    while not member.eof:
        piece = member.decompress(data, PIECE)
        if piece:
            yield piece
        data = member.unconsumed_tail
        if not data and not member.eof:
            data = read(READ)
            if not data:
                raise TarError("the gzip stream is truncated")


def _unzstd(head: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Frame by frame, fed in groups of blocks: a block holds at most 128 KiB, which bounds the output of each step."""
    source = _Blocks(head, read)
    factory = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    try:
        while True:
            frame = factory.decompressobj()
            for group in source.frame():
                piece = frame.decompress(group)
                if piece:
                    yield piece
            if source.ended:
                return
            if not frame.eof:
                raise TarError("the zstd stream is truncated")
    except zstandard.ZstdError as error:
        raise TarError(f"the zstd stream is broken ({error})") from None


class _Blocks:
    """Cuts a zstd stream at block boundaries (RFC 8878, 3.1.1), so that a step's output has a bound."""

    GROUP = 16
    DICTIONARY = (0, 1, 2, 4)
    CONTENT = (0, 2, 4, 8)

    def __init__(self, head: bytes, read: Callable[[int], bytes]) -> None:
        self._buffer, self._position, self._read = head, 0, read
        self.ended = False

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._buffer):
            self._refill(size)
            end = size
        found = self._buffer[self._position : end]
        self._position = end
        return found

    def _refill(self, size: int) -> None:
        parts = [self._buffer[self._position :]]
        have = len(parts[0])
        while have < size:
            parts.append(self._read(max(READ, size - have)))
            if not parts[-1]:
                raise TarError("the zstd stream is truncated")
            have += len(parts[-1])
        self._buffer, self._position = b"".join(parts), 0

    def _next_magic(self) -> bytes:
        """The magic of the next data frame, skippable ones passed over; empty at the end."""
        while True:
            if self._position == len(self._buffer):
                self._buffer, self._position = self._read(READ), 0
                if not self._buffer:
                    self.ended = True
                    return b""
            magic = self._take(4)
            if magic == _ZSTD_MAGIC:
                return magic
            if magic[1:] != b"\x2a\x4d\x18" or magic[0] & 0xF0 != 0x50:
                raise TarError("there is garbage behind the zstd stream")
            left = int.from_bytes(self._take(4), "little")
            while left:
                left -= len(self._take(min(left, READ)))

    def frame(self) -> Iterator[bytes]:
        """The bytes of the next frame, a group of blocks at a time; nothing at the end of the stream."""
        magic = self._next_magic()
        if not magic:
            return
        descriptor = self._take(1)
        flags = descriptor[0]
        single = flags >> 5 & 1
        header = self.DICTIONARY[flags & 3] + (0 if single else 1)
        header += self.CONTENT[flags >> 6] or single
        group = [magic, descriptor, self._take(header)]
        blocks = 0
        last = 0
        while not last:
            block = self._take(3)
            value = int.from_bytes(block, "little")
            last, kind, size = value & 1, value >> 1 & 3, value >> 3
            group += [block, self._take(1 if kind == 1 else size)]
            blocks += 1
            if blocks == self.GROUP:
                yield b"".join(group)
                group, blocks = [], 0
        if flags >> 2 & 1:
            group.append(self._take(4))
        if group:
            yield b"".join(group)


class _Gzip:
    """gzip by ISA-L, with a header that holds no time and no name: the same input gives the same bytes."""

    def __init__(self) -> None:
        self._deflate = isal_zlib.compressobj(level=isal_zlib.ISAL_BEST_COMPRESSION, wbits=-15)
        self._crc = self._size = 0
        self._head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"

    def compress(self, data: bytes) -> bytes:
        """Take some input."""
        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)
        head, self._head = self._head, b""
        packed: bytes = self._deflate.compress(data)
        return head + packed

    def flush(self) -> bytes:
        """End the stream."""
        tail: bytes = self._deflate.flush()
        trailer = self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        return self._head + tail + trailer


class _Plain:
    def compress(self, data: bytes) -> bytes:
        """Hand it on."""
        return data

    def flush(self) -> bytes:
        """Nothing is held back."""
        return b""


def compressor(kind: str) -> Compressor:
    """A compressor for GZIP, ZSTD or PLAIN, deterministic for one version of its library."""
    if kind == GZIP:
        return _Gzip()
    if kind == ZSTD:
        return zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
    return _Plain()


def warm() -> None:
    """Run each codec once, so that nothing is set up lazily after a process has confined itself."""
    for kind in (GZIP, ZSTD, PLAIN):
        packer = compressor(kind)
        packed = packer.compress(b"warm" * 64) + packer.flush()
        parts = iter([packed])
        b"".join(decompress(lambda _, p=parts: next(p, b"")))  # type: ignore[misc]
    zlib.adler32(b"")
