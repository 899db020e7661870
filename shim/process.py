"""One process of a container: its init or an exec, from registration to its recorded exit."""

from __future__ import annotations

from pycontainerd.linux import pidfd
from pycontainerd.linux.fds import close
from pycontainerd.wire.messages.google import Timestamp
from pycontainerd.wire.times import unset
from shim.children import Exit
from shim.errors import invalid, not_found, precondition
from shim.loop import Parked
from shim.states import CREATED, RUNNING, STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.stdio.setup import Names, Stdio

MAX_SIGNAL = 64


class Process:
    """Its state, pid, streams, and everyone who waits for its end. `exec_id` is empty for init."""

    __slots__ = ("ended", "exec_id", "exit", "names", "pending", "pid", "pidfd", "starting", "state", "stdio")

    def __init__(self, exec_id: str, names: Names) -> None:
        self.exec_id = exec_id
        self.names = names
        self.stdio: Stdio | None = None
        self.state = CREATED
        self.pid = 0
        self.pidfd = -1
        self.exit: Exit | None = None
        self.ended = Parked()
        self.starting = False
        # an exit that came while `starting`, or that must wait for others to be told first
        self.pending: Exit | None = None

    def born(self, pid: int) -> None:
        """The process exists."""
        self.pid = pid
        try:
            self.pidfd = pidfd.open_pid(pid)
        except OSError:
            self.pidfd = -1  # it is over already, and its exit is on the way

    def runs(self) -> None:
        """It has been started."""
        if self.state == CREATED:
            self.state = RUNNING

    def finish(self, ended: Exit) -> None:
        """It is over: keep how, and let everyone know who waits."""
        self.exit = ended
        self.state = STOPPED
        self.pending = None
        close(self.pidfd)
        self.pidfd = -1
        self.ended.set(ended)

    def signal(self, number: int) -> None:
        """Send a signal. Raises RpcError NOT_FOUND when the process is over."""
        if not 0 <= number <= MAX_SIGNAL:
            raise invalid(f"signal {number}: there is no such signal")
        if self.state == STOPPED or self.pending is not None:
            raise not_found("process already finished")
        if not self.pid:
            raise precondition("process is not started")
        if self.pidfd < 0:
            raise not_found("process already finished")
        try:
            pidfd.send(self.pidfd, number)
        except ProcessLookupError:
            raise not_found("process already finished") from None

    @property
    def exit_status(self) -> int:
        """The exit code, 0 while there is none."""
        return self.exit.status if self.exit else 0

    @property
    def exited_at(self) -> Timestamp:
        """When it ended; the year 1 while it has not."""
        if self.exit is None:
            return unset()
        return Timestamp(seconds=self.exit.at[0], nanos=self.exit.at[1])
