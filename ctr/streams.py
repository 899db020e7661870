"""Between the user's streams and a process's: bytes, signals, window size, detach keys, and the wait for its end.

One poll loop, no threads: the FIFOs, our standard input, a pipe that signals arrive in, and the connection on which the
daemon tells the end. When the daemon goes away meanwhile, nothing is lost: the FIFOs lead to the shim, and what has to
be asked of the daemon (size, signals, the end of the input, the exit code) is asked again until it is back.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # the plain module: `signal` imports enum
import os
import time
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, poll

from ctr.detach import Detacher
from ctr.errors import Exited
from ctr.terminal import RawMode, size
from pycontainerd.client import tasks
from pycontainerd.core.errors import DeadlineExceeded, NotFound, PycontainerdError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainerd.client.attach import Fifos
    from pycontainerd.client.daemon import Daemon, Pending
    from pycontainerd.wire.messages.tasks import WaitResponse

_BLOCK = 1 << 16
_SILENCE = 1.0
"""Seconds of silence after which a process that has ended is not listened to any more: a child may hold its pipes."""
_RETRY = 0.5
"""Seconds between two attempts to reach a daemon that went away."""
_GIVE_UP = 3
"""So many signals of one kind that could not be passed on end us: somebody wants to get out."""
_RECONNECT = 30.0
"""Seconds to wait for a daemon that went away before its exit code is given up."""
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""Signals that end us when they are not passed on, with the terminal given back."""
_UNKNOWN = 255
"""The exit code of a process that nobody remembers."""
_PROXIED = tuple(getattr(signal, "SIG" + name) for name in "HUP INT QUIT USR1 USR2 ALRM TERM STKFLT IO PWR".split())
"""Signals that are passed on to the process; not those that stop or continue us, which belong to the user's shell."""


class Session:
    """One foreground process. ``run`` returns its exit code, or raises ``Exited(0)`` when the user detached."""

    def __init__(
        self, daemon: Daemon, fifos: Fifos | None, id: str, exec_id: str = "", *, terminal: bool = False
    ) -> None:
        self._daemon, self._fifos, self._id, self._exec_id = daemon, fifos, id, exec_id
        self._terminal = terminal
        self._detacher = Detacher(b"")
        self._proxy = True
        self._held = b""
        self._pending: Pending[WaitResponse] | None = None
        self._status: int | None = None
        self._ended = 0.0
        self._poll = poll()
        self._acts: dict[int, Callable[[int], None]] = {}
        self._wakeup = (-1, -1)
        self._raw = RawMode(0)
        self._keep_stdin_open = False
        self._owed: dict[str, Callable[[], None]] = {}
        self._undelivered: dict[int, int] = {}

    def prepare(self, *, detach_keys: bytes = b"", proxy: bool = True, keep_stdin_open: bool = False) -> None:
        """Before the process starts: ask for its end, take over signals and, for a terminal, the keyboard."""
        self._detacher = Detacher(detach_keys if self._terminal else b"")  # a file may hold the keys by chance
        self._proxy = proxy and not self._terminal
        self._keep_stdin_open = keep_stdin_open
        self._begin_wait()
        self._take_signals()
        if self._fifos is not None:
            for fd, target in ((self._fifos.stdout, 1), (self._fifos.stderr, 2)):
                if fd >= 0:
                    self._watch(fd, POLLIN, self._copier(fd, target))
            if self._fifos.stdin >= 0:
                self._watch(0, POLLIN, self._input)
                if self._terminal:
                    self._raw.__enter__()

    def _begin_wait(self) -> None:
        self._pending = tasks.begin_wait(self._daemon, self._id, self._exec_id)
        self._watch(self._pending.fileno(), POLLIN, self._told)

    def run(self) -> int:
        """Until the process has ended and its output is through; the exit code."""
        try:
            if self._terminal:
                self.resize()
            while not self._done():
                self._turn()
        finally:
            self.close()
        return self._exit_status()

    def close(self) -> None:
        """Give terminal and signals back."""
        self._raw.restore()
        if self._wakeup[0] >= 0:
            signal.set_wakeup_fd(-1)
            for number in (*_PROXIED, signal.SIGWINCH):
                signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
            for fd in self._wakeup:
                os.close(fd)
            self._wakeup = (-1, -1)
        if self._pending is not None:
            self._pending.close()
            self._pending = None

    # -- the loop --

    def _watch(self, fd: int, events: int, act: Callable[[int], None]) -> None:
        self._poll.register(fd, events)
        self._acts[fd] = act

    def _forget(self, fd: int) -> None:
        if fd in self._acts:
            self._poll.unregister(fd)
            del self._acts[fd]

    def _turn(self) -> None:
        timeout = _RETRY if self._owed else _SILENCE if self._ended else None
        ready = self._poll.poll(timeout if timeout is None else timeout * 1000)
        if not ready and self._ended:
            self._drop_outputs()
        if not ready:
            owed, self._owed = self._owed, {}
            for name, request in owed.items():
                self._ask(name, request)
        for fd, events in ready:
            act = self._acts.get(fd)
            if act is not None:
                act(events)

    def _ask(self, name: str, act: Callable[[], None]) -> bool:
        """Ask something of the daemon, again later if it is away; whether it was there. The last of a name counts."""
        try:
            act()
        except Unavailable:
            self._owed[name] = act
            return False
        except NotFound:
            pass  # the process has ended; the loop is about to learn it
        return True

    def _outputs(self) -> list[int]:
        if self._fifos is None:
            return []
        return [fd for fd in (self._fifos.stdout, self._fifos.stderr) if fd >= 0 and fd in self._acts]

    def _drop_outputs(self) -> None:
        for fd in self._outputs():
            self._forget(fd)

    def _done(self) -> bool:
        return not self._outputs() and (self._ended != 0 or self._pending is None)

    # -- what arrives --

    def _copier(self, fd: int, target: int) -> Callable[[int], None]:
        def copy(_events: int) -> None:
            try:
                data = os.read(fd, _BLOCK)
            except BlockingIOError:
                return
            if data:
                write_all(target, data)
            else:
                self._forget(fd)

        return copy

    def _input(self, _events: int) -> None:
        try:
            data = os.read(0, _BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal that hung up
        if not data:
            self._forget(0)
            self._end_input()
            return
        data, detached = self._detacher.feed(data)
        self._send(data)
        if detached:
            self._leave()

    def _send(self, data: bytes) -> None:
        assert self._fifos is not None
        if data and self._fifos.stdin >= 0:
            try:
                data = data[os.write(self._fifos.stdin, data) :]
            except BlockingIOError:
                pass
            except BrokenPipeError:
                self._forget(0)
                self._fifos.close_stdin()
                return
        if data:
            self._held = data
            self._forget(0)  # nothing more is read until this is through
            self._watch(self._fifos.stdin, POLLOUT, self._send_held)

    def _send_held(self, events: int) -> None:
        assert self._fifos is not None
        self._forget(self._fifos.stdin)
        held, self._held = self._held, b""
        if events & (POLLERR | POLLHUP):
            self._fifos.close_stdin()
            return
        self._watch(0, POLLIN, self._input)
        self._send(held)

    def _end_input(self) -> None:
        assert self._fifos is not None
        self._fifos.close_stdin()
        if not self._terminal and not self._keep_stdin_open:
            self._ask("end of input", lambda: tasks.close_stdin(self._daemon, self._id, self._exec_id))

    def _leave(self) -> None:
        assert self._fifos is not None
        self.close()
        try:
            self._fifos.detach(self._daemon, self._id, self._exec_id)
        except PycontainerdError:
            pass  # it has ended at this moment
        write_all(2, b"read escape sequence\n")
        raise Exited(0)

    def _told(self, _events: int) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self._forget(pending.fileno())
        try:
            self._status = pending.result().exit_status
        except NotFound:  # it ended while the daemon was away, and somebody has cleaned up since
            self._status = _UNKNOWN
        except Unavailable:  # the daemon went away; the streams will tell the end too, if there are any
            if self._outputs():
                self._owed["wait"] = self._begin_wait
                return
            self._status = self._ask_again()
        self._ended = time.monotonic()

    # -- signals --

    def _take_signals(self) -> None:
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in _PROXIED if self._proxy else _ENDING:
            signal.signal(number, _ignore)
        signal.signal(signal.SIGWINCH, _ignore)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        self._watch(self._wakeup[0], POLLIN, self._signalled)

    def _signalled(self, _events: int) -> None:
        for number in os.read(self._wakeup[0], 256):
            if number == signal.SIGWINCH:
                if self._terminal:
                    self.resize()
            elif self._proxy:
                self._pass_on(number)
            else:
                raise Exited(128 + number)

    def _pass_on(self, number: int) -> None:
        if self._ask(f"signal {number}", lambda: tasks.kill(self._daemon, self._id, number, exec_id=self._exec_id)):
            return
        self._undelivered[number] = self._undelivered.get(number, 0) + 1
        if self._undelivered[number] >= _GIVE_UP:
            raise Exited(128 + number)
        write_all(2, b"the daemon is away; the signal is passed on when it is back\n")

    def resize(self) -> None:
        """Tell the process how large our terminal is."""
        width, height = size(0) if size(0) != (0, 0) else size(1)
        if width and height:
            self._ask("size", lambda: tasks.resize(self._daemon, self._id, self._exec_id, width, height))

    # -- the end --

    def _exit_status(self) -> int:
        if self._status is None:
            self._status = self._ask_again()
        return self._status

    def _ask_again(self) -> int:
        """From a daemon that was restarted; 255 when it does not come back or knows nothing."""
        deadline = time.monotonic() + _RECONNECT
        while True:
            left = deadline - time.monotonic()
            try:
                return tasks.wait(self._daemon, self._id, self._exec_id, timeout=max(left, 0.1)).exit_status
            except (Unavailable, DeadlineExceeded):
                if left <= 0:
                    raise
                time.sleep(0.1)
            except NotFound:
                return _UNKNOWN


def _ignore(_number: int, _frame: object) -> None:
    """The number comes through the wake-up pipe."""


def write_all(fd: int, data: bytes) -> None:
    """Write everything, waiting for a descriptor that others made non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            waiter = poll()
            waiter.register(fd, POLLOUT)
            waiter.poll()
