"""Output as entries of the systemd journal, in its native protocol: one datagram a line.

An entry is `NAME=value` lines; a value that holds a newline is written as the name, its length (64 bits, little endian)
and the bytes. One too large for a datagram goes into a sealed memory file whose descriptor is sent instead.
Protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/

Policy: the container waits while the journal's queue is full, up to `PATIENCE` seconds without an entry taken; from
then on, and while nobody listens on the socket, lines are dropped and counted, and an entry says how many bytes are
missing once the journal listens again.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import struct

from pycontainerd.linux.fds import close, send_fds
from shim.loop import WRITE
from shim.stdio.sinks import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shim.log import Log
    from shim.loop import Loop, Timer

SOCKET = "/run/systemd/journal/socket"
MAX_LINE = 16 << 10
"""Longer lines are cut into parts of this many bytes."""
PATIENCE = 10.0
PRIORITIES = {"stdout": "6", "stderr": "3"}
"""Informational and error, as Docker has it."""

_SENT, _FULL, _NOBODY_THERE = range(3)
_F_ADD_SEALS, _ALL_SEALS = 1033, 0xF
_NOBODY = (errno.ECONNREFUSED, errno.ENOENT, errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE)


def field(name: str, value: bytes) -> bytes:
    """One field of an entry."""
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def field_name(text: str) -> str:
    """A name the journal takes for a field: upper case letters, digits and underscores, not starting with either of
    the last two; "" when nothing is left."""
    kept = "".join(char if char.isascii() and char.isalnum() else "_" for char in text.upper())
    return kept.lstrip("_0123456789")[:64]


class Entries:
    """Turns the bytes of one stream into datagrams; keeps the unfinished line between calls."""

    __slots__ = ("_fields", "_ordinal", "_part", "_rest")

    def __init__(self, stream: str, attributes: Mapping[str, str]) -> None:
        fields = {"PRIORITY": PRIORITIES.get(stream, "6")}
        for key, value in attributes.items():
            name = field_name(key)
            if name and name not in ("MESSAGE", "PRIORITY"):
                fields[name] = value
        self._fields = b"".join(field(name, value.encode()) for name, value in fields.items())
        self._rest = b""
        self._part = ""
        self._ordinal = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The entries that `data` completes."""
        *lines, rest = data.split(b"\n")
        out: list[bytes] = []
        for line in lines:
            out += self._parts(self._rest + line)
            out.append(self._entry(self._rest, last=True))
            self._rest = b""
        out += self._parts(self._rest + rest)
        return out

    def finish(self) -> list[bytes]:
        """What is left at the end of the stream: a part that nothing follows."""
        rest, self._rest = self._rest, b""
        out = [self._entry(rest, last=False)] if rest else []
        self._part = ""
        return out

    def note(self, text: str) -> bytes:
        """An entry of our own, about the stream."""
        return field("MESSAGE", text.encode()) + self._fields

    def _parts(self, text: bytes) -> list[bytes]:
        """Entries for the full parts of a line; the rest is kept, and is empty only if the text is."""
        out: list[bytes] = []
        at = 0
        while len(text) - at > MAX_LINE:
            out.append(self._entry(text[at : at + MAX_LINE], last=False))
            at += MAX_LINE
        self._rest = text[at:]
        return out

    def _entry(self, text: bytes, last: bool) -> bytes:
        entry = b"MESSAGE=" + text + b"\n" + self._fields
        if last and not self._part:
            return entry
        if not self._part:
            self._part, self._ordinal = os.urandom(32).hex(), 0
        self._ordinal += 1
        entry += b"CONTAINER_PARTIAL_ID=%s\nCONTAINER_PARTIAL_ORDINAL=%d\n" % (self._part.encode(), self._ordinal)
        if last:
            self._part = ""
            return entry + b"CONTAINER_PARTIAL_LAST=true\n"
        return entry + b"CONTAINER_PARTIAL_MESSAGE=true\nCONTAINER_PARTIAL_LAST=false\n"


class JournalSink(Sink):
    """One stream's entries, sent to the journal's socket."""

    __slots__ = (
        "_held", "_log", "_loop", "_lost", "_path", "_patience", "_quiet", "_socket", "_then", "_timer", "entries",
    )  # fmt: skip

    def __init__(self, loop: Loop, log: Log, path: str, entries: Entries, patience: float = PATIENCE) -> None:
        """Raises OSError naming the path when nobody listens there."""
        super().__init__()
        self.entries = entries
        self._loop = loop
        self._log = log
        self._path = path or SOCKET
        self._patience = patience
        self._socket: _socket.socket | None = None
        self._held: list[bytes] = []
        self._lost = 0
        self._quiet = False  # the journal stood still longer than we wait
        self._timer: Timer | None = None
        self._then: Callable[[], None] | None = None
        try:
            self._connect()
        except OSError as error:
            raise OSError(error.errno, f"the journal does not listen: {error.strerror}", self._path) from None

    def _connect(self) -> _socket.socket:
        if self._socket is None:
            made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
            try:
                made.connect(self._path)
            except OSError:
                made.close()
                raise
            self._socket = made
        return self._socket

    def write(self, data: bytes) -> bool:
        """Send the lines that are complete; those the journal has no room for are held, at most one block."""
        self._held += self.entries.feed(data)
        return self._send_held()

    def note(self, text: str) -> None:
        """An entry of our own; an unfinished line before it ends here."""
        self._held += self.entries.finish()
        self._held.append(self.entries.note(text))
        self._send_held()

    def _send_held(self) -> bool:
        if self._held and self._lost:
            note = self.entries.note(f"[{self._lost} bytes of output were lost here: the journal did not take them]")
            if self._send(note) != _SENT:
                return self._refused(_FULL if self._quiet else _NOBODY_THERE)
            self._lost, self._quiet = 0, False
        sent = 0
        result = _SENT
        for entry in self._held:
            result = self._send(entry)
            if result != _SENT:
                break
            sent += 1
        del self._held[:sent]
        if sent and self._timer is not None:
            self._stop_waiting()
        return result == _SENT or self._refused(result)

    def _refused(self, result: int) -> bool:
        """What is held was not taken: wait for room, or count it as lost. True when the stream may go on."""
        if result == _FULL and not self._quiet and self._socket is not None:
            self._loop.watch(self._socket.fileno(), WRITE, self._writable)
            if self._timer is None:
                self._timer = self._loop.later(self._patience, self._give_up)
            return False
        if not self._lost:
            self._log.error(f"the journal at {self._path} does not take the container's output; it is being lost")
        self._lost += sum(_text_size(entry) for entry in self._held)
        self._held.clear()
        return True

    def _send(self, entry: bytes) -> int:
        try:
            sock = self._connect()
            try:
                sock.send(entry)
            except OSError as error:
                if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                    raise
                _send_file(sock, entry)
        except BlockingIOError:
            return _FULL
        except OSError as error:
            if error.errno in _NOBODY:
                self._disconnect()
            return _NOBODY_THERE
        return _SENT

    def _writable(self, _events: int) -> None:
        if not self._send_held():
            return
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
        self._stop_waiting()
        self._go_on()

    def _give_up(self) -> None:
        self._quiet = True
        self._timer = None
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
        self._refused(_FULL)
        self._go_on()

    def _go_on(self) -> None:
        if self._then is not None:
            then = self._then
            self.abandon()
            then()
        else:
            self.ready()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def finish(self, then: Callable[[], None]) -> None:
        """Send the unfinished line, then close."""
        self._held += self.entries.finish()
        if self._send_held():
            self.abandon()
            then()
        else:
            self._then = then

    def abandon(self) -> None:
        """Close at once."""
        self._stop_waiting()
        self._held.clear()
        self._then = None
        self._disconnect()


def _text_size(entry: bytes) -> int:
    """The bytes of output that an entry carries."""
    return entry.find(b"\n") - len(b"MESSAGE=") + 1


def _send_file(sock: _socket.socket, entry: bytes) -> None:
    """An entry that is too large for a datagram, as a descriptor. Raises OSError."""
    fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, entry)
        fcntl.fcntl(fd, _F_ADD_SEALS, _ALL_SEALS)
        send_fds(sock, b"", [fd])
    finally:
        close(fd)
