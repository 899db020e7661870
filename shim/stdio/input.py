"""The standard input of a process: bytes from any number of clients' FIFOs into its pipe or terminal."""

from __future__ import annotations

from pycontainerd.linux import fifo
from pycontainerd.linux.fds import close, read_some, write_some
from shim.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.loop import Loop

BLOCK = 64 << 10


class Source:
    """A FIFO a client writes to.

    That of the client which created the process has a `keeper`, our own writing end, so that the end of its writing
    counts only after CloseIO. A client that attached comes and goes without ending the process's input.
    """

    __slots__ = ("attached", "fd", "keeper")

    def __init__(self, path: str, attached: bool) -> None:
        """Raises OSError naming the path."""
        self.attached = attached
        self.fd = fifo.open_reader(path)
        self.keeper = -1 if attached else fifo.open_writer(path)

    def release(self) -> None:
        """Let the end of the client's writing be the end of the FIFO."""
        close(self.keeper)
        self.keeper = -1

    def close(self) -> None:
        """Close both ends."""
        self.release()
        close(self.fd)
        self.fd = -1


class Input:
    """Copies into `fd` (non-blocking, closed here). A terminal is never closed by the end of input."""

    def __init__(self, loop: Loop, fd: int, terminal: bool) -> None:
        self._loop = loop
        self._fd = fd
        self._terminal = terminal
        self._sources: list[Source] = []
        self._held: memoryview | None = None
        self._closing = False
        self._started = False

    def start(self) -> None:
        """Begin to copy."""
        self._started = True
        self._resume()

    def add(self, source: Source) -> None:
        """One more client."""
        self._sources.append(source)
        if self._closing:
            source.release()  # CloseIO came before the process was started
        if self._started and self._held is None:
            self._watch(source)

    def remove(self, source: Source) -> None:
        """One client less; what it has written so far is taken."""
        if source in self._sources:
            self._sources.remove(source)
            self._loop.unwatch(source.fd)
            source.close()

    def close_stdin(self) -> None:
        """The client says that no more comes: pass on what has been written, then close the process's input."""
        if self._closing or self._fd < 0:
            return
        self._closing = True
        for source in self._sources:
            source.release()
        self._settle()

    def _watch(self, source: Source) -> None:
        self._loop.watch(source.fd, READ, lambda _events: self._readable(source))

    def _resume(self) -> None:
        for source in self._sources:
            self._watch(source)
        self._settle()

    def _readable(self, source: Source) -> None:
        data = read_some(source.fd, BLOCK)
        if data is None:
            return
        if not data:
            self.remove(source)
            self._settle()
            return
        self._pass(memoryview(data))

    def _pass(self, data: memoryview) -> None:
        """Write to the process; what does not fit is held, and no source is read meanwhile."""
        if self._fd < 0:
            return
        try:
            taken = write_some(self._fd, data)
        except OSError:
            self.abandon()  # the process has closed its input or is gone
            return
        if taken == len(data):
            if self._held is not None:
                self._held = None
                self._loop.unwatch(self._fd)
                self._resume()
            return
        if self._held is None:
            for source in self._sources:
                self._loop.unwatch(source.fd)
            self._loop.watch(self._fd, WRITE, self._writable)
        self._held = data[taken:]

    def _writable(self, _events: int) -> None:
        if self._held is not None:
            self._pass(self._held)

    def _settle(self) -> None:
        """After close_stdin: close the process's input once every source is drained."""
        if not self._closing or not self._started or self._held is not None:
            return
        for source in tuple(self._sources):
            data = read_some(source.fd, BLOCK)
            if data:
                self._pass(memoryview(data))
                if self._held is None:
                    self._loop.soon(self._settle)
                return
            if data is None and not source.attached:
                return  # its client has it open still: the end of its writing will come
            # An attached client may stay for the output: what is in the pipe by now is all there is to take.
            self.remove(source)
        if not self._terminal:
            self.abandon()

    def abandon(self) -> None:
        """Close everything."""
        for source in self._sources:
            self._loop.unwatch(source.fd)
            source.close()
        self._sources.clear()
        self._held = None
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            close(self._fd)
            self._fd = -1
