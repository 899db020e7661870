"""One output stream of a process: read from its pipe or terminal, handed to every sink, the tail kept for replay."""

from __future__ import annotations

from pycontainerd.linux.fds import close, read_some
from shim.loop import READ, Parked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.loop import Loop
    from shim.stdio.sinks import Sink

BLOCK = 64 << 10
"""At most so much is read from a descriptor in one turn of the loop."""
TAIL = 64 << 10
"""So much of the past can be replayed to a client that attaches."""


class Tail:
    """The last bytes of a stream, as the blocks they came in."""

    __slots__ = ("_blocks", "_size")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """Remember a block and forget what is too old."""
        blocks = self._blocks
        if blocks and len(blocks[-1]) + len(data) <= 4096:
            blocks[-1] += data  # many small writes must not become many small objects
        else:
            blocks.append(data)
        self._size += len(data)
        while self._size - len(blocks[0]) >= TAIL:
            self._size -= len(blocks.pop(0))

    def last(self, count: int) -> bytes:
        """At most `count` of the last bytes, at most `TAIL`."""
        return b"".join(self._blocks)[-min(count, TAIL) :] if count > 0 else b""


class Output:
    """Reads `fd` (non-blocking, closed here) until its end. `ended` is set when the sinks have everything."""

    def __init__(self, loop: Loop, fd: int, sinks: list[Sink]) -> None:
        self._loop = loop
        self._fd = fd
        self._sinks = sinks
        self._full: list[Sink] = []
        self._open = 0
        self.tail = Tail()
        self.first = Parked()  # set when the first byte is there
        self.ended = Parked()
        for sink in sinks:
            self._join(sink)

    def _join(self, sink: Sink) -> None:
        sink.ready = lambda: self._ready(sink)
        sink.gone = lambda: self.remove(sink)

    def start(self) -> None:
        """Begin to read."""
        self._resume()

    def add(self, sink: Sink) -> None:
        """One more sink, from the next byte on; after the end of the stream it is closed at once."""
        self._join(sink)
        if self._fd < 0:
            sink.finish(lambda: None)
        else:
            self._sinks.append(sink)

    def remove(self, sink: Sink) -> None:
        """One sink less; it is closed without waiting."""
        if sink in self._sinks:
            self._sinks.remove(sink)
            sink.abandon()
            self._ready(sink)

    def _readable(self, _events: int) -> None:
        data = read_some(self._fd, BLOCK)
        if data is None:
            return
        if not data:
            self._end()
            return
        if not self.first.done:
            self.first.set()
        self.tail.add(data)
        for sink in tuple(self._sinks):
            if not sink.write(data) and sink in self._sinks:
                self._full.append(sink)
        if self._full:
            self._loop.unwatch(self._fd)

    def _ready(self, sink: Sink) -> None:
        if sink in self._full:
            self._full.remove(sink)
            if not self._full:
                self._resume()

    def _resume(self) -> None:
        if self._fd >= 0:
            self._loop.watch(self._fd, READ, self._readable)

    def _end(self) -> None:
        self._loop.unwatch(self._fd)
        close(self._fd)
        self._fd = -1
        self._full.clear()
        sinks, self._sinks = self._sinks, []
        self._open = len(sinks) + 1
        for sink in sinks:
            sink.finish(self._one_closed)
        self._one_closed()

    def _one_closed(self) -> None:
        self._open -= 1
        if self._open == 0:
            self.ended.set()

    def abandon(self) -> None:
        """Stop at once: nothing more is read, what sinks hold is lost."""
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            close(self._fd)
            self._fd = -1
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            sink.abandon()
        self.ended.set()
