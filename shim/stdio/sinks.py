"""Where output goes: a client's FIFO, a file, a bounded log. A sink takes bytes and says when it is full.

`write(data)` never waits. It answers False when the sink holds as much as it may: its stream then reads nothing more
from the container until the sink has called `ready`. `finish(then)` closes it once everything held is written.
A sink before which a `Buffer` stands never stops the container: what the buffer cannot hold is dropped.
"""

from __future__ import annotations

import os

from pycontainerd.linux import fifo
from pycontainerd.linux.fds import close, write_some
from shim.loop import WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.loop import Loop
    from shim.stdio.crilines import CriEncoder
    from shim.stdio.jsonlines import Encoder
    from shim.stdio.rotating import RotatingFile


class Sink:
    """The base: swallows everything."""

    __slots__ = ("gone", "ready")

    def __init__(self) -> None:
        self.ready: Callable[[], None] = lambda: None
        self.gone: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> bool:
        """Take all of `data`; False asks the stream to pause until `ready` is called."""
        return True

    def note(self, text: str) -> None:
        """Record a remark of our own about the stream, where the sink has a form for one."""

    def finish(self, then: Callable[[], None]) -> None:
        """Write what is held, close, and call `then`."""
        then()

    def abandon(self) -> None:
        """Close at once; what is held is lost."""


class PipeSink(Sink):
    """A pipe (non-blocking, closed here). It is full when the pipe is: then the container waits."""

    __slots__ = ("_fd", "_held", "_loop", "_then")

    def __init__(self, loop: Loop, fd: int) -> None:
        super().__init__()
        self._loop = loop
        self._fd = fd
        self._held: memoryview | None = None
        self._then: Callable[[], None] | None = None

    def write(self, data: bytes) -> bool:
        """Write as much as fits and hold the rest, at most one block."""
        taken = self._take(data)
        if taken == len(data):
            return True
        self._held = memoryview(data)[taken:]
        self._loop.watch(self._fd, WRITE, self._writable)
        return False

    def _take(self, data: bytes | memoryview) -> int:
        try:
            return write_some(self._fd, data)
        except OSError:
            return len(data)  # nobody can ever read it

    def _writable(self, _events: int) -> None:
        held = self._held
        if held is not None:
            taken = self._take(held)
            if taken < len(held):
                self._held = held[taken:]
                return
        self._held = None
        self._loop.unwatch(self._fd)
        if self._then is not None:
            self._close()
        else:
            self.ready()

    def finish(self, then: Callable[[], None]) -> None:
        """Close when the pipe has taken the rest; a reader that never comes is the caller's time limit to end."""
        self._then = then
        if self._held is None:
            self._close()

    def _close(self) -> None:
        close(self._fd)
        self._fd = -1
        then, self._then = self._then, None
        if then is not None:
            then()

    def abandon(self) -> None:
        """Close without waiting."""
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            close(self._fd)
            self._fd = -1


def fifo_sink(loop: Loop, path: str) -> PipeSink:
    """The FIFO a client named when it created the process. Raises OSError naming the path.

    Opened for reading and writing, so that a client that leaves can come back, and no writer gets SIGPIPE.
    """
    return PipeSink(loop, fifo.open_both(path))


class FileSink(Sink):
    """A plain file, appended to."""

    __slots__ = ("_fd",)

    def __init__(self, path: str) -> None:
        """Raises OSError naming the path."""
        super().__init__()
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, data: bytes) -> bool:
        """Append; what a full disk does not take is lost."""
        try:
            taken = os.write(self._fd, data)
            while taken < len(data):
                taken += os.write(self._fd, data[taken:])
        except OSError:
            pass
        return True

    def finish(self, then: Callable[[], None]) -> None:
        """Close."""
        self.abandon()
        then()

    def abandon(self) -> None:
        """Close."""
        close(self._fd)
        self._fd = -1


class LogSink(Sink):
    """One stream's share of a log file, in the format that its encoder makes."""

    __slots__ = ("_encoder", "_file")

    def __init__(self, file: RotatingFile, encoder: Encoder | CriEncoder) -> None:
        super().__init__()
        self._file: RotatingFile | None = file.acquire()
        self._encoder = encoder

    def write(self, data: bytes) -> bool:
        """Write the lines that are complete."""
        block = self._encoder.feed(data)
        if block and self._file is not None:
            self._file.write(block, len(data), self._encoder.note)
        return True

    def note(self, text: str) -> None:
        """A line of our own; an unfinished one before it ends here."""
        if self._file is not None:
            self._flush()
            self._file.write(self._encoder.note(text), 0, self._encoder.note)

    def reopen(self) -> None:
        """Write to the file that now has the name. Raises OSError."""
        if self._file is not None:
            self._file.reopen()

    def _flush(self) -> None:
        waiting = self._encoder.waiting
        block = self._encoder.finish()
        if block and self._file is not None:
            self._file.write(block, waiting, self._encoder.note)

    def finish(self, then: Callable[[], None]) -> None:
        """Write the unfinished line and leave the file."""
        self._flush()
        self.abandon()
        then()

    def abandon(self) -> None:
        """Leave the file."""
        if self._file is not None:
            self._file.release()
            self._file = None


class Buffer(Sink):
    """The non-blocking policy: holds up to `limit` bytes while `sink` is full; what comes beyond is dropped.

    How much was dropped is noted in the log where it is missing.
    """

    __slots__ = ("_dropped", "_full", "_held", "_limit", "_size", "_then", "sink")

    def __init__(self, sink: Sink, limit: int) -> None:
        super().__init__()
        self.sink = sink
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._full = False
        self._then: Callable[[], None] | None = None
        sink.ready = self._drained
        sink.gone = lambda: self.gone()

    def write(self, data: bytes) -> bool:
        """Pass on, hold or drop. Never asks to wait."""
        if not self._full:
            self._full = not self.sink.write(data)
        elif self._dropped or self._size + len(data) > self._limit:
            self._dropped += len(data)  # the newest, as Docker does: the log then has one gap and not many
        else:
            self._hold(data)
        return True

    def _hold(self, data: bytes) -> None:
        held = self._held
        if held and len(held[-1]) + len(data) <= 4096:
            held[-1] += data
        else:
            held.append(data)
        self._size += len(data)

    def _drained(self) -> None:
        """The sink takes more: give it what is held, then tell of the gap."""
        self._full = False
        while self._held and not self._full:
            data = self._held.pop(0)
            self._size -= len(data)
            self._full = not self.sink.write(data)
        if self._full or self._held:
            return
        if self._dropped:
            self.sink.note(f"[{self._dropped} bytes of output were dropped here: the log did not keep up]")
            self._dropped = 0
        if self._then is not None:
            then, self._then = self._then, None
            self.sink.finish(then)

    def finish(self, then: Callable[[], None]) -> None:
        """Once everything held has passed."""
        if self._full or self._held:
            self._then = then
        else:
            self.sink.finish(then)

    def abandon(self) -> None:
        """Close at once."""
        self._held.clear()
        self.sink.abandon()
