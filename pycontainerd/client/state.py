"""What state containers are in, in Docker's terms: what the supervisor says; for containers that it does not look after
(those of other clients), what their tasks say.
"""

from __future__ import annotations

import os

from pycontainerd.client import supervisor, tasks
from pycontainerd.client.times import ns
from pycontainerd.core.units import human_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.supervisor import ContainerStatus, HealthState
    from pycontainerd.wire.messages.types_task import Process

STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
LIVE = (tasks.RUNNING, tasks.PAUSED, tasks.PAUSING)


class State:
    """``status`` is one of ``STATUSES``; times in nanoseconds since 1970, 0 for one that has not come.

    ``health`` is None for a container without a health check.
    """

    __slots__ = (
        "error", "exit_code", "finished", "health", "oom_killed", "pid", "restarts", "started", "status",
    )  # fmt: skip

    def __init__(self, status: str = "created") -> None:
        self.status, self.error = status, ""
        self.pid = self.exit_code = self.finished = self.started = self.restarts = 0
        self.oom_killed = False
        self.health: HealthState | None = None

    @property
    def running(self) -> bool:
        """Whether it has live processes, paused ones included."""
        return self.status in ("running", "paused")

    def sentence(self, now: int) -> str:
        """The STATUS column of ``ps``: ``Up 3 minutes (Paused)``, ``Exited (0) 2 hours ago``, ``Created``."""
        if self.running:
            return f"Up {human_duration((now - self.started) / 1e9)}{self._suffix()}"
        if self.status in ("exited", "restarting"):
            word = self.status.capitalize()
            return f"{word} ({self.exit_code}) {human_duration((now - self.finished) / 1e9)} ago"
        return "Removal In Progress" if self.status == "removing" else self.status.capitalize()

    def _suffix(self) -> str:
        if self.status == "paused":
            return " (Paused)"
        if self.health is None or self.health.status in ("", "none"):
            return ""
        return f" (health: {self.health.status})" if self.health.status == "starting" else f" ({self.health.status})"


def of(daemon: Daemon, container: Container) -> State:
    """The state of one container."""
    status = supervisor.statuses(daemon, [container.id]).get(container.id)
    if status is not None:
        return _supervised(status)
    return _other(container, tasks.get(daemon, container.id))


def of_all(daemon: Daemon, containers: Iterable[Container]) -> dict[str, State]:
    """The states of many, by id."""
    known = supervisor.statuses(daemon)
    result: dict[str, State] = {}
    processes: dict[str, Process] | None = None
    for container in containers:
        status = known.get(container.id)
        if status is not None:
            result[container.id] = _supervised(status)
            continue
        if processes is None:
            processes = tasks.list_all(daemon)
        result[container.id] = _other(container, processes.get(container.id))
    return result


def _supervised(status: ContainerStatus) -> State:
    state = State(status.status)
    state.pid, state.exit_code, state.error = status.pid, status.exit_code, status.error
    state.started, state.finished = ns(status.started_at), ns(status.finished_at)
    state.oom_killed, state.restarts, state.health = status.oom_killed, status.restart_count, status.health
    return state


def _other(container: Container, process: Process | None) -> State:
    state = State()
    if process is None or process.status in (tasks.CREATED, tasks.UNKNOWN):
        return state
    if process.status in LIVE:
        state.status = "running" if process.status == tasks.RUNNING else "paused"
        state.pid = process.pid
        state.started = start_time(process.pid) or container.created
    else:
        state.status = "exited"
        state.exit_code, state.finished = process.exit_status, ns(process.exited_at)
        state.started = container.created
    return state


def start_time(pid: int) -> int:
    """When a process of this host was started, in nanoseconds since 1970; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/stat", "rb") as file:
            booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
    return booted * 10**9 + ticks * 10**9 // os.sysconf("SC_CLK_TCK")
