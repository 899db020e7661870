"""A container as the shim holds it: its processes, its runtime, its groups, and the order in which exits are told."""

from __future__ import annotations

from pycontainerd.linux.cgroup import Cgroup, locate
from pycontainerd.linux.fds import close
from pycontainerd.wire.messages.events_task import TaskExit, TaskOOM
from pycontainerd.wire.messages.google import Timestamp
from shim import bundle as files
from shim.children import Exit
from shim.errors import not_found
from shim.loop import Parked
from shim.oom import OomWatch
from shim.startfifo import hold
from shim.states import STOPPED
from shim.turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.context import Shim
    from shim.process import Process
    from shim.runtime import Runtime
    from shim.spec import Spec
    from shim.stdio.setup import Owner

KILL_AGAIN = 0.1


class Container:
    """Made by `create`, dropped by `delete`. `rootfs` is the path the shim has mounted, "" when it mounted none."""

    def __init__(self, shim: Shim, id: str, bundle: str, runtime: Runtime, init: Process) -> None:
        self.shim = shim
        self.id = id
        self.bundle = bundle
        self.runtime = runtime
        self.init = init
        self.execs: dict[str, Process] = {}
        self.turns = Turns()
        self.rootfs = ""
        self.spec: Spec | None = None
        self.owner: Owner | None = None
        self.checkpoint = ""
        self.criu: list[str] = []
        self.create_arguments: list[str] = []
        self.forgotten = False  # by the runtime
        self.over = Parked()
        """Init has been reaped, though nobody may have been told."""
        self.cgroup: Cgroup | None = None
        self._oom: OomWatch | None = None
        self._starting_execs = 0
        self._start_held = -1

    def process(self, exec_id: str) -> Process:
        """Init for the empty id, else an exec. Raises RpcError NOT_FOUND."""
        if not exec_id:
            return self.init
        found = self.execs.get(exec_id)
        if found is None:
            raise not_found(f"process {exec_id} in container {self.id}")
        return found

    def log(self, exec_id: str = "") -> str:
        """The runtime's log file for one process."""
        return f"{self.bundle}/{files.log_file(exec_id)}"

    def adopt(self, process: Process, pid: int) -> None:
        """The runtime has made a process; hear of its end."""
        process.born(pid)
        self.shim.children.expect(pid, lambda ended: self.on_exit(process, ended))

    def find_cgroup(self) -> None:
        """Learn where the container's groups are; init must exist."""
        try:
            self.cgroup = locate(self.init.pid, self.shim.hierarchies)
        except OSError:
            self.cgroup = None

    def watch_oom(self) -> None:
        """Tell the daemon when the kernel kills for want of memory."""
        if self.cgroup is not None and self._oom is None:
            told = TaskOOM(container_id=self.id)
            self._oom = OomWatch(self.shim.loop, self.cgroup, lambda: self.shim.events.publish(told))

    def close(self) -> None:
        """Forget the groups; the runtime has removed them."""
        self.cgroup = None
        if self._oom is not None:
            self._oom.close()
            self._oom = None

    # Exits. An exit is told only after the start of the same process was, and init's only after all the others'.

    def starting(self, process: Process) -> None:
        """A start has begun: hold back the exit of this process."""
        process.starting = True
        if process.exec_id:
            self._starting_execs += 1

    def started(self, process: Process) -> None:
        """The start is over, well or not, and told: an exit that came meanwhile may follow."""
        process.starting = False
        if process.exec_id:
            self._starting_execs -= 1
        else:
            close(self._start_held)
            self._start_held = -1
        self._settle(process)
        self._settle(self.init)

    def on_exit(self, process: Process, ended: Exit) -> None:
        """A process has been reaped."""
        process.pending = ended
        if process is self.init:
            self.over.set()
            if process.starting and self._start_held < 0:
                self._start_held = hold(self.runtime.start_fifo(self.id))
        if process is self.init and not (self.spec and self.spec.own_pids):
            # nothing else would end them: without a pid namespace of its own the kernel does not
            self._kill_rest()
        self._settle(process)
        self._settle(self.init)

    def _settle(self, process: Process) -> None:
        ended = process.pending
        if ended is None or process.starting or process.state == STOPPED:
            return
        if process is self.init and (self._starting_execs or any(p.pid and not p.exit for p in self.execs.values())):
            return
        if process is self.init and self._oom is not None:
            self._oom.look()
        self._tell(process, ended)

    def _tell(self, process: Process, ended: Exit) -> None:
        """Record, then tell: a daemon that is away reads the record."""
        try:
            files.write_exit(self.bundle, process.exec_id, ended)
        except OSError as error:
            self.shim.journal.error(f"cannot record the exit of {process.exec_id or self.id}: {error}")
        process.finish(ended)
        self.shim.events.publish(
            TaskExit(
                container_id=self.id,
                id=process.exec_id or self.id,
                pid=ended.pid,
                exit_status=ended.status,
                exited_at=Timestamp(seconds=ended.at[0], nanos=ended.at[1]),
            )
        )

    def _kill_rest(self) -> None:
        """Kill what is left of the container, again until nothing is."""
        if self.cgroup is None or not self.cgroup.home:
            for process in self.execs.values():
                if process.pidfd >= 0:
                    process.signal(9)
            return
        try:
            self.cgroup.thaw()
            if self.cgroup.signal(9):
                self.shim.loop.later(KILL_AGAIN, self._kill_rest)
        except OSError as error:
            self.shim.journal.error(f"cannot kill the rest of {self.id}: {error}")
