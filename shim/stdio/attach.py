"""A client that watches a live process through FIFOs of its own, one attachment a client.

Policy for a client that does not keep up: up to 1 MiB is held for it. What happens beyond that it chose when it
attached. One that is *waited for* (the client that runs the process in its foreground) stops the process's output, as
the reader of a pipe does, for as long as it lives; its memory is bounded by that. Any other (a second look from
outside) stops nobody: further output is left out for it alone, and a line tells how much once it reads again.
"""

from __future__ import annotations

from pycontainerd.linux import fifo
from pycontainerd.linux.fds import close, write_some
from shim.loop import GONE, WRITE
from shim.stdio.sinks import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.loop import Loop
    from shim.stdio.input import Input, Source
    from shim.stdio.output import Output

BEHIND = 1 << 20
"""Bytes that are held for a client, one block more at most."""
_SMALL = 4096


class AttachSink(Sink):
    """A client's FIFO with a bounded queue before it."""

    __slots__ = ("_fd", "_full", "_held", "_left_out", "_loop", "_size", "_then", "_waited_for")

    def __init__(self, loop: Loop, path: str, waited_for: bool = False) -> None:
        """Raises OSError naming the path; ENXIO when the client has not opened it for reading."""
        super().__init__()
        self._loop = loop
        self._fd = fifo.open_writer(path)
        self._held: list[bytes | memoryview] = []
        self._size = 0
        self._full = False
        self._left_out = 0
        self._waited_for = waited_for
        self._then: Callable[[], None] | None = None
        loop.watch(self._fd, 0, self._writable)  # errors only: tells when the reader leaves

    def write(self, data: bytes) -> bool:
        """Write, queue, or leave out."""
        if self._fd < 0:
            return True
        if not self._held:
            taken = self._take(data)
            if taken < 0 or taken == len(data):
                return True
            self._loop.watch(self._fd, WRITE, self._writable)
            self._hold(memoryview(data)[taken:])
        elif self._left_out or (not self._waited_for and self._size + len(data) > BEHIND):
            self._left_out += len(data)
        else:
            self._hold(data)
        self._full = self._waited_for and self._size > BEHIND
        return not self._full

    def _hold(self, data: bytes | memoryview) -> None:
        last = self._held[-1] if self._held else None
        if isinstance(last, bytes) and len(last) + len(data) <= _SMALL:
            self._held[-1] = last + data  # many small writes must not become many objects
        else:
            self._held.append(data)
        self._size += len(data)

    def _take(self, data: bytes | memoryview) -> int:
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
            first = self._held[0]
            taken = self._take(first)
            if taken < 0:
                return
            self._size -= taken
            if taken < len(first):
                if taken:
                    self._held[0] = memoryview(first)[taken:]
                break
            self._held.pop(0)
            if not self._held and self._left_out:
                self._tell()
        if not self._held:
            self._loop.watch(self._fd, 0, self._writable)
            if self._then is not None:
                self._close()
                return
        if self._full and self._size <= BEHIND // 2:
            self._full = False
            self.ready()

    def _tell(self) -> None:
        """Queue the line about what was left out."""
        text = f"\r\n[{self._left_out} bytes of output were left out here: this client did not keep up]\r\n"
        self._left_out = 0
        self._hold(text.encode())

    def _leave(self) -> None:
        """The client is gone."""
        then = self._then
        self.abandon()
        if then is not None:
            then()
        else:
            self.gone()

    def finish(self, then: Callable[[], None]) -> None:
        """Close once the queue is empty; a client that never reads is the caller's time limit to end."""
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
