"""Start: let init run, or have the runtime run an exec."""

from __future__ import annotations

import time

from pycontainerd.wire.failpoint import hit
from pycontainerd.wire.messages.events_task import TaskExecStarted, TaskStart
from pycontainerd.wire.messages.task_v3 import StartResponse
from shim import bundle as files
from shim.console import ConsoleSocket
from shim.errors import from_oserror, precondition, unknown
from shim.runtime import NULL_STDIO
from shim.startfifo import let_go, understood
from shim.states import STOPPED, check
from shim.stdio.setup import Owner, Stdio
from shim.task.create import run_init
from shim.task.delete import forget_when_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import StartRequest
    from shim.container import Container
    from shim.context import Shim
    from shim.loop import Steps
    from shim.process import Process
    from shim.trace import NoTrace


def start(shim: Shim, request: StartRequest, trace: NoTrace) -> Steps[StartResponse]:
    """Run what was created or registered. Raises RpcError."""
    container = shim.container(request.id)
    process = container.process(request.exec_id)
    shared = bool(request.exec_id)
    began = time.time_ns()
    yield from container.turns.take(shared)
    try:
        if process.starting:
            raise unknown("cannot start a process that is being started")
        check("start", process.state)
        container.starting(process)
        try:
            if request.exec_id:
                with trace.step("runtime exec"):
                    yield from _start_exec(container, process)
            else:
                with trace.step("runtime start"):
                    yield from _start_init(container)
        finally:
            container.started(process)
    finally:
        container.turns.give(shared)
    if trace.on:
        _trace_output(shim, process, trace, began)
    return StartResponse(pid=process.pid)


def _start_init(container: Container) -> Steps[None]:
    shim, init = container.shim, container.init
    if container.checkpoint:
        work = ["--work-path", container.criu[0]] if container.criu else []
        yield from run_init(container, "restore", ["--detach", "--image-path", container.checkpoint, *work])
        container.watch_oom()
    else:
        shim.loop.soon(container.watch_oom)  # while the runtime works
        if not (yield from _let_go(container)):
            yield from container.runtime.call("start", [], id=container.id, log=container.log())
    init.runs()
    shim.events.publish(TaskStart(container_id=container.id, pid=init.pid))
    forget_when_over(container)


def _let_go(container: Container) -> Steps[bool]:
    """Start init without the runtime, where that is known to be the same."""
    spec, runtime = container.spec, container.runtime
    if spec is None or spec.poststart or not understood(runtime.binary):
        return False
    hit("shim.runtime.start")
    return (yield from let_go(container.shim.loop, runtime.start_fifo(container.id), container.over))


def _start_exec(container: Container, process: Process) -> Steps[None]:
    shim = container.shim
    if container.init.state == STOPPED or container.init.pending is not None:
        raise precondition(f"container {container.id} init process is not running")
    check("exec", container.init.state)
    stdio = process.stdio
    if stdio is None:
        raise unknown("the exec has no streams")
    try:
        stdio.open(container.owner or Owner(shim.namespace, container.id))
        yield from stdio.ready()
        yield from _run_exec(container, process, stdio)
    except OSError as error:
        _failed(process, stdio)
        raise from_oserror("exec", error) from None
    except Exception:
        _failed(process, stdio)
        raise
    process.runs()
    shim.events.publish(TaskExecStarted(container_id=container.id, exec_id=process.exec_id, pid=process.pid))
    stdio.start()


def _run_exec(container: Container, process: Process, stdio: Stdio) -> Steps[None]:
    bundle, exec_id = container.bundle, process.exec_id
    pid_file = f"{bundle}/{files.pid_file(exec_id)}"
    arguments = ["--process", f"{bundle}/{files.process_file(exec_id)}", "--detach", "--pid-file", pid_file]
    console = ConsoleSocket(bundle, exec_id) if stdio.names.terminal else None
    try:
        if console is not None:
            arguments += ["--console-socket", console.path]
        fds = {**NULL_STDIO, **stdio.child}
        children = container.shim.children
        children.hold()
        try:
            yield from container.runtime.call("exec", arguments, id=container.id, log=container.log(exec_id), fds=fds)
            stdio.handed()
            pid = files.read_pid(bundle, exec_id)
            if not pid:
                raise unknown(f"the OCI runtime wrote no pid into {pid_file}")
            container.adopt(process, pid)
        finally:
            children.release()
        if console is not None:
            stdio.console(console.receive())
    finally:
        if console is not None:
            console.close()


def _failed(process: Process, stdio: Stdio) -> None:
    """An exec that could not be started is over; its streams end, so that its client is not left waiting."""
    stdio.abandon()
    if not process.pid:
        process.state = STOPPED


def _trace_output(shim: Shim, process: Process, trace: NoTrace, began: int) -> None:
    """One span from the start request to the first byte of output, whenever that is."""
    told: list[bool] = []

    def first() -> None:
        if not told:
            told.append(True)
            trace.mark("first output", began)
            trace.send(shim.events)

    for parked in process.stdio.first_output() if process.stdio else ():
        parked.then(first)
