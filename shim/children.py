"""Child processes: starting programs without a shell, and reaping everything that ends below the shim.

The shim is a subreaper, so containers' processes end here too, often before anybody knows their pid: a container may
be gone before the runtime's `create` has returned. While such a program runs (`hold`), exits of unknown pids are kept.
"""

from __future__ import annotations

import fcntl
import os
import time

from pycontainerd.linux import signals
from shim.loop import READ, Parked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shim.log import Log
    from shim.loop import Loop

_MANY = 4096
_HIGH = 128  # source descriptors are moved up here when they could be overwritten by a target
_DEFAULTED = (signals.SIGPIPE, signals.SIGHUP, signals.SIGINT, signals.SIGTERM, signals.SIGXFSZ)


class Exit:
    """How a process ended: `status` as a shell counts (128 + signal), and when, as (seconds, nanoseconds)."""

    __slots__ = ("at", "pid", "status")

    def __init__(self, pid: int, status: int, at: tuple[int, int]) -> None:
        self.pid = pid
        self.status = status
        self.at = at


def now() -> tuple[int, int]:
    """The time as (seconds since 1970, nanoseconds)."""
    return divmod(time.time_ns(), 1_000_000_000)


def status_of(raw: int) -> int:
    """A wait status as an exit code: the code, or 128 plus the signal."""
    return 128 + os.WTERMSIG(raw) if os.WIFSIGNALED(raw) else os.WEXITSTATUS(raw)


class Children:
    """Every process below the shim."""

    def __init__(self, loop: Loop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self._waiting: dict[int, Callable[[Exit], None]] = {}
        self._early: dict[int, Exit] = {}
        self._holds = 0
        self.on_terminate: Callable[[], None] = lambda: None
        self._signals = signals.signalfd((signals.SIGCHLD, signals.SIGTERM))
        loop.watch(self._signals, READ, self._signalled)

    def close(self) -> None:
        """Hear no signals any more; they stay blocked."""
        self._loop.unwatch(self._signals)
        os.close(self._signals)

    def spawn(
        self,
        argv: list[str],
        env: Mapping[str, str],
        fds: Mapping[int, int],
        done: Callable[[Exit], None],
        program: str = "",
    ) -> int:
        """Start a program with the descriptors `{child's number: ours}`; call done(exit) at its end.

        `program` is the file to execute, argv[0] when empty.

        Of the others it inherits the standard ones that are not named: null, null and the shim's log. Raises OSError
        naming the program.
        """
        moved: list[int] = []
        actions: list[tuple[int, ...]] = []
        try:
            for target, source in fds.items():
                high = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _HIGH)
                moved.append(high)
                actions.append((os.POSIX_SPAWN_DUP2, high, target))
            file = program or argv[0]
            pid = os.posix_spawn(file, argv, env, file_actions=actions, setsigmask=(), setsigdef=_DEFAULTED)
        except OSError as error:
            raise OSError(error.errno, f"cannot run: {error.strerror}", argv[0]) from None
        finally:
            for fd in moved:
                os.close(fd)
        self._waiting[pid] = done
        return pid

    def run(self, argv: list[str], env: Mapping[str, str], fds: Mapping[int, int], program: str = "") -> Parked:
        """Start a program; the result of waiting is its `Exit`. Exits of pids it leaves behind are kept meanwhile."""
        parked = Parked()
        self.hold()

        def done(ended: Exit) -> None:
            parked.set(ended)
            # steps that waited have run by now and have said which pid they want
            self._loop.soon(self.release)

        try:
            self.spawn(argv, env, fds, done, program)
        except OSError:
            self.release()
            raise
        return parked

    def hold(self) -> None:
        """Keep the exits of unknown pids until `release`: one of them may turn out to be a container's."""
        self._holds += 1

    def release(self) -> None:
        """End a `hold`."""
        self._holds -= 1
        if self._holds == 0:
            self._early.clear()

    def expect(self, pid: int, done: Callable[[Exit], None]) -> None:
        """Call done(exit) when this pid ends, or soon if it has already."""
        early = self._early.pop(pid, None)
        if early is not None:
            self._loop.soon(lambda: done(early))
            return
        self._waiting[pid] = done

    def forget(self, pids: Iterable[int]) -> None:
        """Nobody wants to know about these any more; they are still reaped."""
        for pid in pids:
            self._waiting.pop(pid, None)

    def _signalled(self, _events: int) -> None:
        seen = signals.drain(self._signals)
        if signals.SIGTERM in seen:
            self.on_terminate()
        self.reap()

    def reap(self) -> None:
        """Take the exit of every child that has ended."""
        for _ in range(_MANY):
            try:
                pid, raw = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(Exit(pid, status_of(raw), now()))

    def _ended(self, ended: Exit) -> None:
        done = self._waiting.pop(ended.pid, None)
        if done is not None:
            done(ended)
        elif self._holds:
            self._early[ended.pid] = ended
        else:
            self._log.debug(f"reaped orphan {ended.pid}")
