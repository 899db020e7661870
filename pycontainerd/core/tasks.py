"""Tasks: the life of a container's processes as a table of states."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.values import AnyValue, Descriptor, Mount


class Status(enum.IntEnum):
    """``containerd.v1.types.Status``."""

    UNKNOWN = 0
    CREATED = 1
    RUNNING = 2
    STOPPED = 3
    PAUSED = 4
    PAUSING = 5


@dataclass(frozen=True, slots=True)
class Stdio:
    """Where a process's streams go: FIFO paths, ``file://``, ``binary://`` or a log driver's URI; empty for none."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """A task's init process (``exec_id`` empty) or one of its execs."""

    container_id: str
    exec_id: str = ""
    pid: int = 0
    status: Status = Status.UNKNOWN
    stdio: Stdio = Stdio()
    exit_status: int = 0
    exited_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended; ``status`` is 128 plus the signal for a signalled one."""

    pid: int
    status: int
    at: datetime | None
    id: str = ""


@dataclass(frozen=True, slots=True)
class CreateTask:
    """What Tasks.Create asks for."""

    container_id: str
    rootfs: Sequence[Mount] = ()
    stdio: Stdio = Stdio()
    checkpoint: Descriptor | None = None
    options: AnyValue | None = None
    runtime_path: str = ""
    task_api_address: str = ""
    task_api_version: int = 0


@dataclass(frozen=True, slots=True)
class Metric:
    """One task's resource use; ``data`` is io.containerd.cgroups.v1.Metrics or v2.Metrics."""

    id: str
    timestamp: datetime
    data: AnyValue


@dataclass(frozen=True, slots=True)
class Attachment:
    """FIFO paths a client made for a live process; empty for a stream it does not want. ``replay`` in bytes of tail.

    The process's output waits for a client that is ``waited_for``; another one misses what it does not keep up with.
    """

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    replay: int = 0
    waited_for: bool = False


class TaskManager(Protocol):
    """Everything that runs, in all namespaces. Every method raises NotFound for an unknown container, task or exec."""

    async def create(self, namespace: str, request: CreateTask) -> int:
        """Make bundle and shim, run the runtime's create; return the init pid. Raises AlreadyExists, Unknown."""

    async def start(self, namespace: str, id: str, exec_id: str = "") -> int: ...

    async def delete(self, namespace: str, id: str) -> Exit: ...

    async def delete_process(self, namespace: str, id: str, exec_id: str) -> Exit: ...

    async def get(self, namespace: str, id: str, exec_id: str = "") -> Process: ...

    async def list(self, namespace: str) -> Sequence[Process]: ...

    async def kill(self, namespace: str, id: str, exec_id: str, signal: int, *, all: bool) -> None: ...

    async def exec(self, namespace: str, id: str, exec_id: str, stdio: Stdio, spec: AnyValue | None) -> None: ...

    async def resize_pty(self, namespace: str, id: str, exec_id: str, width: int, height: int) -> None: ...

    async def close_io(self, namespace: str, id: str, exec_id: str, *, stdin: bool) -> None: ...

    async def pause(self, namespace: str, id: str) -> None: ...

    async def resume(self, namespace: str, id: str) -> None: ...

    async def pids(self, namespace: str, id: str) -> Sequence[tuple[int, AnyValue | None]]: ...

    async def checkpoint(
        self, namespace: str, id: str, parent: str, options: AnyValue | None, lease: str = ""
    ) -> Sequence[Descriptor]:
        """``lease`` keeps what becomes content."""
        ...

    async def update(
        self, namespace: str, id: str, resources: AnyValue | None, annotations: Mapping[str, str]
    ) -> None: ...

    async def metrics(self, namespace: str, filters: Sequence[str]) -> Sequence[Metric]: ...

    async def wait(self, namespace: str, id: str, exec_id: str = "") -> Exit: ...

    async def attach(self, namespace: str, id: str, exec_id: str, attachment: Attachment) -> str:
        """Join a live process's streams (our own extension); return the attachment's id."""

    async def detach(self, namespace: str, id: str, exec_id: str, attachment_id: str) -> None: ...

    async def reopen_log(self, namespace: str, id: str, exec_id: str) -> None:
        """Have a live process's log file opened by its name again (our own extension)."""


class TaskWatcher(Protocol):
    """Who is told, on the event loop, what becomes of tasks, before the caller who did or asked is answered.

    Events tell the same, later; what a client does next must not find the daemon's memory behind its own.
    """

    def created(self, namespace: str, id: str, pid: int) -> None: ...

    async def started(self, namespace: str, id: str, pid: int) -> None: ...

    def ended(self, namespace: str, id: str, exit: Exit) -> None:
        """Called any number of times for one end, also for a task that was deleted without having been started."""

    async def forgotten(self, namespace: str, id: str, exit: Exit) -> None:
        """Its task was deleted: from now on nobody else knows how it ended."""


class NoTaskWatcher:
    """Nobody."""

    def created(self, namespace: str, id: str, pid: int) -> None:
        """Nothing."""

    async def started(self, namespace: str, id: str, pid: int) -> None:
        """Nothing."""

    def ended(self, namespace: str, id: str, exit: Exit) -> None:
        """Nothing."""

    async def forgotten(self, namespace: str, id: str, exit: Exit) -> None:
        """Nothing."""
