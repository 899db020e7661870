"""Bytes of output as lines of Docker's json-file format, a block at a time.

One object a line: `{"log":"text\\n","stream":"stdout","time":"2024-05-01T12:00:00.123456789Z"}`. The lines of one block
carry one time. Text that has no newline at its end (cut at 16 KiB, or the last of a stream) is written without `\\n`
in `log`, which is how readers know that it goes on. Everything is done by bytes.replace on whole blocks: escaping
line by line is fifteen times slower.
"""

from __future__ import annotations

from shim.jsontext import quote
from shim.stdio.stamp import Stamp

MAX_LINE = 16 << 10
"""Longer lines are cut into parts of this many bytes."""

_RARE = [(bytes([n]), b"\\u%04x" % n) for n in range(0x20) if n not in (9, 10, 13)]
_CONTROLS = bytes(n for n in range(0x20) if n != 10)


class Encoder:
    """Turns the bytes of one stream into lines; keeps the unfinished line between calls."""

    __slots__ = ("_head", "_rest", "_stamp", "_tail")

    def __init__(self, stream: str, attributes: dict[str, str] | None = None) -> None:
        attrs = ""
        if attributes:
            members = ",".join(f"{quote(key)}:{quote(value)}" for key, value in sorted(attributes.items()))
            attrs = f'"attrs":{{{members}}},'
        self._head = b'{"log":"'
        self._tail = f'","stream":{quote(stream)},{attrs}"time":"'.encode()
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
            return self._parts() if len(self._rest) >= MAX_LINE else b""
        lines = self._rest + data[:cut] if self._rest else data[:cut]
        self._rest = data[cut:]
        out = self._block(lines)
        if len(self._rest) >= MAX_LINE:
            out += self._parts()
        return out

    def finish(self) -> bytes:
        """What is left at the end of the stream."""
        out = self._parts() if len(self._rest) > MAX_LINE else b""
        rest, self._rest = self._rest, b""
        return out + (self._line(rest) if rest else b"")

    def note(self, text: str) -> bytes:
        """A line of our own, about the stream."""
        return self._line(text.encode() + b"\n")

    def _parts(self) -> bytes:
        """Cut the unfinished line into full parts, not within a character; keep what is less than one."""
        out: list[bytes] = []
        rest, at = self._rest, 0
        while len(rest) - at >= MAX_LINE:
            end = at + MAX_LINE
            back = 0
            while back < 3 and end < len(rest) and rest[end - back] & 0xC0 == 0x80:
                back += 1
            if end < len(rest) and rest[end - back] & 0xC0 == 0x80:
                back = 0  # no UTF-8: cut anywhere
            out.append(self._line(rest[at : end - back]))
            at = end - back
        self._rest = rest[at:]
        return b"".join(out)

    def _block(self, lines: bytes) -> bytes:
        """Whole lines. A line beyond the limit is rare and sends the block down the slow way."""
        end = self._end()
        if len(lines) > MAX_LINE and _longest(lines) > MAX_LINE:
            return self._slow(lines, end)
        escaped = escape(lines)
        # every newline becomes: its escape, the end of this object, and the start of the next
        joint = b"\\n" + end + self._head
        body = escaped.replace(b"\n", joint)
        return self._head + body[: -len(self._head)]

    def _slow(self, lines: bytes, end: bytes) -> bytes:
        out: list[bytes] = []
        kept, self._rest = self._rest, b""
        for line in _split(lines):
            if len(line) > MAX_LINE:
                self._rest = line[:-1]
                out.append(self._parts())
                line = self._rest + b"\n"
                self._rest = b""
            out.append(self._head + escape(line).replace(b"\n", b"\\n") + end)
        self._rest = kept
        return b"".join(out)

    def _line(self, text: bytes) -> bytes:
        return self._head + escape(text).replace(b"\n", b"\\n") + self._end()

    def _end(self) -> bytes:
        return self._tail + self._stamp.now().encode() + b'"}\n'


def _split(lines: bytes) -> list[bytes]:
    return [line + b"\n" for line in lines.split(b"\n")[:-1]]


def _longest(lines: bytes) -> int:
    """Whether some line is longer than the limit, without looking at each: jump from limit to limit."""
    at, size = 0, len(lines)
    while at < size:
        newline = lines.rfind(b"\n", at, at + MAX_LINE + 1)
        if newline < 0:
            return MAX_LINE + 1
        at = newline + 1
    return 0


def escape(text: bytes) -> bytes:
    """Bytes as the inside of a JSON string, newlines left alone; what is not UTF-8 becomes U+FFFD."""
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            text = text.decode("utf-8", "replace").encode()
    if b"\\" in text:
        text = text.replace(b"\\", b"\\\\")
    if b'"' in text:
        text = text.replace(b'"', b'\\"')
    if len(text.translate(None, _CONTROLS)) != len(text):
        text = text.replace(b"\r", b"\\r").replace(b"\t", b"\\t")
        for char, code in _RARE:
            text = text.replace(char, code)
    return text
