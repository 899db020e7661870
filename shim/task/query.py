"""What only looks: state, pids, connect, wait."""

from __future__ import annotations

import os

from pycontainerd.wire.messages.google import Any
from pycontainerd.wire.messages.task_v3 import ConnectResponse, PidsResponse, StateResponse, WaitResponse
from pycontainerd.wire.messages.types_runc import ProcessDetails
from pycontainerd.wire.messages.types_task import ProcessInfo
from shim.errors import from_oserror
from shim.states import STATUS, STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import ConnectRequest, PidsRequest, StateRequest, WaitRequest
    from shim.context import Shim
    from shim.loop import Steps

VERSION = "v2"


def state(shim: Shim, request: StateRequest) -> StateResponse:
    """How a process is. Raises RpcError NOT_FOUND."""
    container = shim.container(request.id)
    process = container.process(request.exec_id)
    return StateResponse(
        id=request.exec_id or request.id,
        bundle=container.bundle,
        pid=process.pid,
        status=STATUS[process.state],
        stdin=process.names.stdin,
        stdout=process.names.stdout,
        stderr=process.names.stderr,
        terminal=process.names.terminal,
        exit_status=process.exit_status,
        exited_at=process.exited_at,
        exec_id=request.exec_id,
    )


def pids(shim: Shim, request: PidsRequest) -> PidsResponse:
    """Every process of the container; execs are told by name. Raises RpcError NOT_FOUND."""
    container = shim.container(request.id)
    known = {process.pid: process.exec_id for process in container.execs.values() if process.pid and not process.exit}
    try:
        found = container.cgroup.pids() if container.cgroup is not None else []
    except OSError as error:
        raise from_oserror("pids", error) from None
    if not found and container.init.pid and container.init.state != STOPPED:
        found = [container.init.pid, *known]
    return PidsResponse(processes=[_info(pid, known.get(pid, "")) for pid in found])


def _info(pid: int, exec_id: str) -> ProcessInfo:
    if not exec_id:
        return ProcessInfo(pid=pid)
    details = ProcessDetails(exec_id=exec_id)
    return ProcessInfo(pid=pid, info=Any(type_url=details.TYPE, value=details.encode()))


def connect(shim: Shim, request: ConnectRequest) -> ConnectResponse:
    """The pids of the shim and of a container's init, 0 when it does not hold that container."""
    container = shim.containers.get(request.id)
    pid = container.init.pid if container is not None else 0
    return ConnectResponse(shim_pid=os.getpid(), task_pid=pid, version=VERSION)


def wait(shim: Shim, request: WaitRequest) -> Steps[WaitResponse]:
    """How a process ended, once it has. Raises RpcError NOT_FOUND."""
    process = shim.container(request.id).process(request.exec_id)
    yield from process.ended
    return WaitResponse(exit_status=process.exit_status, exited_at=process.exited_at)
