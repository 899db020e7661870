"""Delete: let the output drain, have the runtime forget the container, unmount, answer how it ended."""

from __future__ import annotations

from pycontainerd.linux.mount import unmount_all
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.failpoint import hit
from pycontainerd.wire.messages.events_task import TaskDelete
from pycontainerd.wire.messages.task_v3 import DeleteResponse
from pycontainerd.wire.times import now
from shim import bundle as files
from shim.errors import from_oserror, not_found, unknown
from shim.forget import forget
from shim.loop import drive
from shim.states import CREATED, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import DeleteRequest
    from shim.container import Container
    from shim.context import Shim
    from shim.loop import Steps
    from shim.process import Process
    from shim.trace import NoTrace


def delete(shim: Shim, request: DeleteRequest, trace: NoTrace) -> Steps[DeleteResponse]:
    """Remove a process that is over, or was never started. Raises RpcError."""
    container = shim.container(request.id)
    process = container.process(request.exec_id)
    if process.starting:
        raise unknown("cannot delete a process that is being started")
    check("delete", process.state)
    if request.exec_id:
        return (yield from _delete_exec(container, process))
    yield from container.turns.take()
    try:
        if shim.containers.get(request.id) is not container:
            raise not_found(f"container {request.id}")
        check("delete", process.state)
        answer = yield from _delete_init(container, trace)
    finally:
        container.turns.give()
    return answer


def _delete_exec(container: Container, process: Process) -> Steps[DeleteResponse]:
    if process.stdio is not None:
        yield from process.stdio.finish()
    if container.execs.pop(process.exec_id, None) is None:
        raise not_found(f"process {process.exec_id} in container {container.id}")
    files.remove_exec(container.bundle, process.exec_id)
    return _answer(process)


def _delete_init(container: Container, trace: NoTrace) -> Steps[DeleteResponse]:
    shim, init = container.shim, container.init
    never_started = init.state == CREATED
    if never_started and init.pid:
        try:
            init.signal(9)
        except RpcError:
            pass  # it ended by itself meanwhile
        yield from init.ended
        yield from shim.loop.sleep(0)  # its exit is told first
    if init.stdio is not None:
        with trace.step("drain output"):
            yield from init.stdio.finish()
    for exec_id, process in tuple(container.execs.items()):
        if process.stdio is not None:
            process.stdio.abandon()
        files.remove_exec(container.bundle, exec_id)
    hit("shim.delete.runtime")
    with trace.step("runtime delete"):
        yield from _runtime_delete(container)
    if container.rootfs:
        try:
            unmount_all(container.rootfs)
        except OSError as error:
            raise from_oserror("cannot unmount rootfs", error) from None
        container.rootfs = ""
    container.close()
    del shim.containers[container.id]
    answer = _answer(init)
    if never_started:
        answer.exit_status = 0
    shim.events.publish(
        TaskDelete(
            container_id=container.id, pid=answer.pid, exit_status=answer.exit_status, exited_at=answer.exited_at
        )
    )
    return answer


def forget_when_over(container: Container) -> None:
    """Have the runtime forget the container as soon as init has ended and everybody was told.

    A client asks for it next, nearly always, and by then most of it is done. Where a hook is to run or a process may
    have outlived init, it is left to that client.
    """
    spec, loop = container.spec, container.shim.loop
    if spec is None or not spec.own_pids or spec.poststop:
        return

    def over(_value: object, error: BaseException | None) -> None:
        if error is not None:
            container.shim.journal.debug(f"{container.id} is left to be deleted: {error}")

    container.init.ended.then(lambda: loop.soon(lambda: drive(_forget(container), over)))


def _forget(container: Container) -> Steps[None]:
    yield from container.turns.take()
    try:
        if container.shim.containers.get(container.id) is container and not container.forgotten:
            if not forget(container):
                yield from container.runtime.call("delete", [], id=container.id, log=container.log())
            container.forgotten = True
    finally:
        container.turns.give()


def _runtime_delete(container: Container) -> Steps[None]:
    """Plainly first; by force when the runtime sees more of the container than we do. Gone already is fine."""
    if not container.init.pid or container.forgotten or forget(container):
        return
    try:
        yield from container.runtime.call("delete", [], id=container.id, log=container.log())
        return
    except RpcError as error:
        if "does not exist" in error.message or "No such file or directory" in error.message:
            return
        container.shim.journal.debug(f"deleting {container.id} by force: {error}")
    try:
        yield from container.runtime.call("delete", ["--force"], id=container.id, log=container.log())
    except RpcError as error:
        if "does not exist" not in error.message:
            raise


def _answer(process: Process) -> DeleteResponse:
    when = process.exited_at if process.exit is not None else now()
    return DeleteResponse(pid=process.pid, exit_status=process.exit_status, exited_at=when)
