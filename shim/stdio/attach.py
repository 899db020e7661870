"""A client that watches a live process through FIFOs of its own, one attachment a client.

Policy for a client that does not keep up: it may be 256 KiB behind the pipe; then the container's output waits for it,
as it waits for the reader of a terminal, but only while it takes something at least every ten seconds. A client that
stands still longer is dropped (its FIFOs are closed) and the container goes on.
"""

from __future__ import annotations

from pycontainerd.linux import fifo
from pycontainerd.linux.fds import close, write_some
from shim.loop import GONE, WRITE
from shim.stdio.sinks import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.loop import Loop, Timer
    from shim.stdio.input import Input, Source
    from shim.stdio.output import Output

BEHIND = 256 << 10
PATIENCE = 10.0


class AttachSink(Sink):
    """A client's FIFO with a bounded queue before it."""

    __slots__ = ("_fd", "_full", "_held", "_loop", "_patience", "_size", "_then", "_timer")

    def __init__(self, loop: Loop, path: str, patience: float = PATIENCE) -> None:
        """Raises OSError naming the path; ENXIO when the client has not opened it for reading."""
        super().__init__()
        self._loop = loop
        self._fd = fifo.open_writer(path)
        self._held: list[memoryview] = []
        self._size = 0
        self._full = False
        self._patience = patience
        self._timer: Timer | None = None
        self._then: Callable[[], None] | None = None
        loop.watch(self._fd, 0, self._writable)  # errors only: tells when the reader leaves

    def write(self, data: bytes) -> bool:
        """Write or queue."""
        if self._fd < 0:
            return True
        if not self._held:
            taken = self._take(memoryview(data))
            if taken < 0 or taken == len(data):
                return True
            self._loop.watch(self._fd, WRITE, self._writable)
            self._wait()
            data_left = memoryview(data)[taken:]
        else:
            data_left = memoryview(data)
        self._held.append(data_left)
        self._size += len(data_left)
        self._full = self._size > BEHIND
        return not self._full

    def _take(self, data: memoryview) -> int:
        """How much the pipe took, -1 when the client has left."""
        try:
            return write_some(self._fd, data)
        except OSError:
            self._leave()
            return -1

    def _writable(self, events: int) -> None:
        if events & GONE:
            self._leave()
            return
        while self._held:
            taken = self._take(self._held[0])
            if taken < 0:
                return
            if taken:
                self._wait()
            self._size -= taken
            if taken < len(self._held[0]):
                self._held[0] = self._held[0][taken:]
                break
            self._held.pop(0)
        if not self._held:
            self._stop_waiting()
            self._loop.watch(self._fd, 0, self._writable)
            if self._then is not None:
                self._close()
                return
        if self._full and self._size <= BEHIND // 2:
            self._full = False
            self.ready()

    def _wait(self) -> None:
        self._stop_waiting()
        self._timer = self._loop.later(self._patience, self._leave)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        """The client is gone or stands still."""
        then = self._then
        self.abandon()
        if then is not None:
            then()
        else:
            self.gone()

    def finish(self, then: Callable[[], None]) -> None:
        """Close once the queue is empty or the client's patience is up."""
        if self._held:
            self._then = then
        else:
            self.abandon()
            then()

    def _close(self) -> None:
        then = self._then
        self.abandon()
        if then is not None:
            then()

    def abandon(self) -> None:
        """Close at once."""
        self._stop_waiting()
        self._then = None
        self._held.clear()
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            close(self._fd)
            self._fd = -1


class Attachment:
    """The sinks and the source of one client."""

    __slots__ = ("_input", "_sinks", "_source")

    def __init__(self, sinks: list[tuple[Output, AttachSink]], input: Input | None, source: Source | None) -> None:
        self._sinks = sinks
        self._input = input
        self._source = source

    def detach(self) -> None:
        """Close this client's FIFOs; the process and other clients do not notice."""
        for output, sink in self._sinks:
            output.remove(sink)
        if self._input is not None and self._source is not None:
            self._input.remove(self._source)
