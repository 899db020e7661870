"""Bytes of output as lines of the kubelet's log format, a block at a time.

`<time> <stdout|stderr> <tag> <text>`: the tag is `F` where the output's line ends and `P` where it goes on, because it
was longer than the limit or because the stream ended without a newline. A carriage return before the newline is
dropped; the text is otherwise as it came, empty lines included. The lines of one block carry one time.
"""

from __future__ import annotations

from shim.stdio.stamp import Stamp

MAX_LINE = 16 << 10
"""Bytes of text in a line, unless the URI says otherwise (`max-line`)."""
LONGEST = 1 << 20
"""What -1 means, "no limit": a line is kept in memory until it is complete."""


class CriEncoder:
    """Turns the bytes of one stream into lines; keeps the unfinished line between calls."""

    __slots__ = ("_limit", "_rest", "_stamp", "_stream")

    def __init__(self, stream: str, limit: int = MAX_LINE) -> None:
        self._stream = f" {stream} "
        self._limit = limit if 0 < limit < LONGEST else LONGEST
        self._rest = b""
        self._stamp = Stamp()

    @property
    def waiting(self) -> int:
        """How many bytes of an unfinished line are kept."""
        return len(self._rest)

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes, and the parts of any that has grown beyond the limit."""
        cut = data.rfind(b"\n") + 1
        if cut == 0:
            self._rest += data
            return self._grown()
        lines = self._rest + data[:cut] if self._rest else data[:cut]
        self._rest = data[cut:]
        return self._block(lines) + self._grown()

    def finish(self) -> bytes:
        """What is left at the end of the stream, as parts."""
        rest, self._rest = self._rest, b""
        if not rest:
            return b""
        parts, last = self._cut(rest)
        return parts + self._head(b"P") + last + b"\n"

    def note(self, text: str) -> bytes:
        """A line of our own, about the stream."""
        return self._head(b"F") + text.encode() + b"\n"

    def _head(self, tag: bytes) -> bytes:
        return (self._stamp.now() + self._stream).encode() + tag + b" "

    def _grown(self) -> bytes:
        """Parts of the unfinished line. One byte more than the limit is waited for: it may be a carriage return."""
        full = (len(self._rest) - 2) // self._limit
        if full < 1:
            return b""
        parts, last = self._cut(self._rest[: full * self._limit])
        parts += self._head(b"P") + last + b"\n"
        self._rest = self._rest[full * self._limit :]
        return parts

    def _cut(self, text: bytes) -> tuple[bytes, bytes]:
        """Lines for all full parts of `text`, and the last part, which is never empty."""
        limit = self._limit
        if len(text) <= limit:
            return b"", text
        head = self._head(b"P")
        ends = range(limit, len(text), limit)
        return b"".join(head + text[end - limit : end] + b"\n" for end in ends), text[ends[-1] :]

    def _block(self, lines: bytes) -> bytes:
        """Whole lines. One beyond the limit is rare and sends the block down the slow way."""
        if b"\r" in lines:
            lines = lines.replace(b"\r\n", b"\n")
        head = self._head(b"F")
        if _has_longer(lines, self._limit):
            out = bytearray()
            for line in lines.split(b"\n")[:-1]:
                parts, last = self._cut(line)
                out += parts + head + last + b"\n"
            return bytes(out)
        body = lines.replace(b"\n", b"\n" + head)
        return head + body[: -len(head)]


def _has_longer(lines: bytes, limit: int) -> bool:
    """Whether a line has more than `limit` bytes, without looking at each: jump from limit to limit."""
    at, size = 0, len(lines)
    while at < size:
        newline = lines.rfind(b"\n", at, at + limit + 1)
        if newline < 0:
            return True
        at = newline + 1
    return False
