"""Kill: a signal to one process by its descriptor, or to all of a container through its group."""

from __future__ import annotations

from pycontainerd.wire.messages.google import Empty
from shim.errors import from_oserror, not_found, precondition
from shim.states import CREATED, PAUSED, STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import KillRequest
    from shim.container import Container
    from shim.context import Shim
    from shim.loop import Steps

SIGKILL = 9


def kill(shim: Shim, request: KillRequest) -> Steps[Empty]:
    """Send the signal. Raises RpcError NOT_FOUND for a process that is over, FAILED_PRECONDITION before its start."""
    container = shim.container(request.id)
    process = container.process(request.exec_id)
    if process.exec_id and process.state == CREATED:
        raise precondition(f"exec {process.exec_id} is not started")
    if request.all and not request.exec_id:
        yield from _kill_all(container, request.signal)
    else:
        try:
            process.signal(request.signal)
        except OSError as error:
            raise from_oserror("kill", error) from None
    if request.signal == SIGKILL and container.init.state == PAUSED and container.cgroup is not None:
        container.cgroup.thaw()
    return Empty()


def _kill_all(container: Container, number: int) -> Steps[None]:
    if container.init.state == STOPPED and not (container.cgroup and container.cgroup.home and container.cgroup.pids()):
        raise not_found("process already finished")
    if container.cgroup is not None and container.cgroup.home:
        try:
            container.cgroup.signal(number)
        except OSError as error:
            raise from_oserror("kill all", error) from None
        return
    arguments = ["--all"]
    # the runtime wants the signal after the id
    yield from container.runtime.call("kill", arguments, id=container.id, log=container.log(), last=[str(number)])
