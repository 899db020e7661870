"""The supervisor seen from outside: how containers are, and what the daemon does with them on its own."""

from __future__ import annotations

from pycontainerd.core.errors import NotFound
from pycontainerd.wire.messages import supervisor as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.client.daemon import Daemon, Pending

SERVICE = "pycontainerd.supervisor.v1.Supervisor"
NOT_RUNNING, NEXT_EXIT, REMOVED = "not-running", "next-exit", "removed"
"""Conditions of ``wait``."""


def statuses(daemon: Daemon, ids: Sequence[str] = ()) -> dict[str, messages.ContainerStatus]:
    """By id, how the supervised among these containers are; all of the namespace without ids."""
    request = messages.StatusRequest(container_ids=ids)
    answer = daemon.call(SERVICE, "Status", request, messages.StatusResponse)
    return {status.container_id: status for status in answer.containers}


def start(daemon: Daemon, id: str) -> int:
    """Make its task and start it; running is fine. Returns the pid; raises what the runtime says."""
    request = messages.StartRequest(container_id=id)
    return daemon.call(SERVICE, "Start", request, messages.StartResponse).pid


def stop(daemon: Daemon, id: str, *, signal: int = 0, timeout: float | None = None) -> None:
    """Ask it to end, and kill it after ``timeout`` seconds (-1: never, None: its own). Not running is fine."""
    request = messages.StopRequest(container_id=id, signal=signal, timeout=timeout)
    daemon.call(SERVICE, "Stop", request, messages.StopResponse)


def mark_stopped(daemon: Daemon, id: str) -> None:
    """Note that somebody wants it down, so that its policy does not bring it up again."""
    daemon.call(SERVICE, "MarkStopped", messages.MarkStoppedRequest(container_id=id), Empty)


def set_policy(daemon: Daemon, id: str, policy: str) -> None:
    """Change its restart policy. Raises InvalidArgument."""
    daemon.call(SERVICE, "SetPolicy", messages.SetPolicyRequest(container_id=id, policy=policy), Empty)


def wait(daemon: Daemon, id: str, condition: str = NOT_RUNNING) -> messages.WaitResponse:
    """Block until the condition holds. Raises NotFound."""
    request = messages.WaitRequest(container_id=id, condition=condition)
    return daemon.call(SERVICE, "Wait", request, messages.WaitResponse)


def wait_removed(daemon: Daemon, id: str) -> None:
    """Block until it is gone."""
    try:
        wait(daemon, id, REMOVED)
    except NotFound:
        pass


def begin_wait(daemon: Daemon, id: str, condition: str) -> Pending[messages.WaitResponse]:
    """Ask to be told, without blocking."""
    request = messages.WaitRequest(container_id=id, condition=condition)
    return daemon.begin(SERVICE, "Wait", request, messages.WaitResponse)


def health(daemon: Daemon, id: str) -> messages.HealthState:
    """Its health with the last results."""
    return daemon.call(SERVICE, "Health", messages.HealthRequest(container_id=id), messages.HealthState)


def remove(daemon: Daemon, id: str, *, force: bool = False, volumes: bool = False) -> None:
    """Remove it with all that is its own; gone is fine. Raises FailedPrecondition while it runs, unless forced."""
    try:
        daemon.call(SERVICE, "Remove", messages.RemoveRequest(container_id=id, force=force, volumes=volumes), Empty)
    except NotFound:
        pass
