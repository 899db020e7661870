"""Tasks seen from outside: the running side of containers."""

from __future__ import annotations

from pycontainerd.client import jsontext
from pycontainerd.core.errors import NotFound, Unknown
from pycontainerd.core.spec import PROCESS_TYPE_URL
from pycontainerd.wire.messages import tasks as messages
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pycontainerd.client.daemon import Daemon, Pending
    from pycontainerd.wire.messages.types import Metric, Mount
    from pycontainerd.wire.messages.types_task import Process

    Json = dict[str, Any]

SERVICE = "containerd.services.tasks.v1.Tasks"
UNKNOWN, CREATED, RUNNING, STOPPED, PAUSED, PAUSING = range(6)
"""``containerd.v1.types.Status``."""


class Stdio:
    """Where the streams of a new process go."""

    __slots__ = ("stderr", "stdin", "stdout", "terminal")

    def __init__(self, stdin: str = "", stdout: str = "", stderr: str = "", *, terminal: bool = False) -> None:
        self.stdin, self.stdout, self.stderr, self.terminal = stdin, stdout, stderr, terminal


def create(daemon: Daemon, id: str, mounts: Sequence[Mount], stdio: Stdio, *, options: AnyMessage | None = None) -> int:
    """Make the task of a container, not yet running; return its pid. Raises AlreadyExists, what the runtime says."""
    request = messages.CreateTaskRequest(
        container_id=id,
        rootfs=mounts,
        stdin=stdio.stdin,
        stdout=stdio.stdout,
        stderr=stdio.stderr,
        terminal=stdio.terminal,
        options=options,
    )
    return daemon.call(SERVICE, "Create", request, messages.CreateTaskResponse).pid


def start(daemon: Daemon, id: str, exec_id: str = "") -> int:
    """Let it run; return the pid."""
    request = messages.StartRequest(container_id=id, exec_id=exec_id)
    return daemon.call(SERVICE, "Start", request, messages.StartResponse).pid


def get(daemon: Daemon, id: str, exec_id: str = "") -> Process | None:
    """The process, None when there is no task."""
    try:
        request = messages.GetRequest(container_id=id, exec_id=exec_id)
        return daemon.call(SERVICE, "Get", request, messages.GetResponse).process
    except NotFound:
        return None


def list_all(daemon: Daemon) -> dict[str, Process]:
    """All tasks of the namespace by container id."""
    answer = daemon.call(SERVICE, "List", messages.ListTasksRequest(), messages.ListTasksResponse)
    return {task.container_id or task.id: task for task in answer.tasks}


def wait(daemon: Daemon, id: str, exec_id: str = "", *, timeout: float | None = None) -> messages.WaitResponse:
    """Block until the process ends, or raise DeadlineExceeded; use a connection of its own."""
    request = messages.WaitRequest(container_id=id, exec_id=exec_id)
    return daemon.call(SERVICE, "Wait", request, messages.WaitResponse, timeout=timeout)


def begin_wait(daemon: Daemon, id: str, exec_id: str = "") -> Pending[messages.WaitResponse]:
    """Ask to be told when the process ends, without blocking."""
    request = messages.WaitRequest(container_id=id, exec_id=exec_id)
    return daemon.begin(SERVICE, "Wait", request, messages.WaitResponse)


def kill(daemon: Daemon, id: str, signal: int, *, exec_id: str = "", every: bool = False) -> None:
    """Send a signal; to all processes of the container with ``every``. Raises NotFound when it has ended."""
    request = messages.KillRequest(container_id=id, exec_id=exec_id, signal=signal, all=every)
    daemon.call(SERVICE, "Kill", request, Empty)


def delete(daemon: Daemon, id: str) -> messages.DeleteResponse | None:
    """Clean up after a stopped task; None when there was none."""
    try:
        return daemon.call(SERVICE, "Delete", messages.DeleteTaskRequest(container_id=id), messages.DeleteResponse)
    except NotFound:
        return None


def delete_process(daemon: Daemon, id: str, exec_id: str) -> messages.DeleteResponse:
    """Clean up after an exec that has ended."""
    request = messages.DeleteProcessRequest(container_id=id, exec_id=exec_id)
    return daemon.call(SERVICE, "DeleteProcess", request, messages.DeleteResponse)


def exec_(daemon: Daemon, id: str, exec_id: str, process: Json, stdio: Stdio) -> None:
    """Register another process of the container; ``start`` runs it."""
    request = messages.ExecProcessRequest(
        container_id=id,
        exec_id=exec_id,
        stdin=stdio.stdin,
        stdout=stdio.stdout,
        stderr=stdio.stderr,
        terminal=stdio.terminal,
        spec=AnyMessage(type_url=PROCESS_TYPE_URL, value=jsontext.dumps(process).encode()),
    )
    daemon.call(SERVICE, "Exec", request, Empty)


def resize(daemon: Daemon, id: str, exec_id: str, width: int, height: int) -> None:
    """Set the size of the terminal; a process that has none any more does not matter."""
    request = messages.ResizePtyRequest(container_id=id, exec_id=exec_id, width=width, height=height)
    try:
        daemon.call(SERVICE, "ResizePty", request, Empty)
    except (NotFound, Unknown):
        pass


def close_stdin(daemon: Daemon, id: str, exec_id: str = "") -> None:
    """End the process's input, once what has been written to it is through."""
    try:
        daemon.call(SERVICE, "CloseIO", messages.CloseIORequest(container_id=id, exec_id=exec_id, stdin=True), Empty)
    except (NotFound, Unknown):
        pass


def pause(daemon: Daemon, id: str) -> None:
    """Freeze all processes."""
    daemon.call(SERVICE, "Pause", messages.PauseTaskRequest(container_id=id), Empty)


def resume(daemon: Daemon, id: str) -> None:
    """Let them run on."""
    daemon.call(SERVICE, "Resume", messages.ResumeTaskRequest(container_id=id), Empty)


def pids(daemon: Daemon, id: str) -> list[int]:
    """All processes of the container, as the host numbers them."""
    answer = daemon.call(SERVICE, "ListPids", messages.ListPidsRequest(container_id=id), messages.ListPidsResponse)
    return [process.pid for process in answer.processes]


def metrics(daemon: Daemon, ids: Sequence[str] = ()) -> list[Metric]:
    """Resource use of the tasks given, of all without ids."""
    request = messages.MetricsRequest(filters=[f'id=="{container}"' for container in ids])
    return list(daemon.call(SERVICE, "Metrics", request, messages.MetricsResponse).metrics)
