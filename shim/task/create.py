"""Create: mount the root filesystem, open the streams, have the runtime make the container."""

from __future__ import annotations

import os

from pycontainerd.linux.fds import close
from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.linux.prctl import oom_score, set_oom_score
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.failpoint import hit
from pycontainerd.wire.messages.events_task import TaskCreate, TaskIO
from pycontainerd.wire.messages.task_v3 import CreateTaskResponse
from shim import bundle as files
from shim.console import ConsoleSocket
from shim.container import Container
from shim.errors import already_exists, from_oserror, invalid, unknown
from shim.process import Process
from shim.runtime import NULL_STDIO
from shim.spec import prepare
from shim.stdio.setup import Names, Owner, Stdio
from shim.task.options import create_arguments, join_shim_cgroup, options_of, remembered, runtime_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import CreateTaskRequest
    from shim.context import Shim
    from shim.loop import Steps
    from shim.trace import NoTrace


def create(shim: Shim, request: CreateTaskRequest, trace: NoTrace) -> Steps[CreateTaskResponse]:
    """Make the container; on any failure everything is undone. Raises RpcError."""
    if not request.id or "/" in request.id or request.id.startswith("."):
        raise invalid(f"container id {request.id!r} cannot be used")
    if not request.bundle.startswith("/"):
        raise invalid(f"bundle {request.bundle!r} is no absolute path")
    if request.id in shim.containers or request.id in shim.creating:
        raise already_exists(f"task {request.id}")
    shim.creating.add(request.id)
    try:
        container = yield from _create(shim, request, trace)
    finally:
        shim.creating.discard(request.id)
    shim.containers[request.id] = container
    shim.events.publish(
        TaskCreate(
            container_id=request.id,
            bundle=request.bundle,
            rootfs=request.rootfs,
            io=TaskIO(stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, terminal=request.terminal),
            checkpoint=request.checkpoint,
            pid=container.init.pid,
        )
    )
    return CreateTaskResponse(pid=container.init.pid)


def _create(shim: Shim, request: CreateTaskRequest, trace: NoTrace) -> Steps[Container]:
    options = options_of(request.options)
    join_shim_cgroup(shim, options)
    names = Names(request.stdin, request.stdout, request.stderr, request.terminal)
    container = Container(shim, request.id, request.bundle, runtime_of(shim, options), Process("", names))
    container.owner = Owner(shim.namespace, request.id, options.io_uid, options.io_gid)
    container.checkpoint = request.checkpoint
    container.create_arguments = create_arguments(options)
    container.criu = [flag for flag in (options.criu_work_path,) if flag]
    try:
        with trace.step("mount rootfs"):
            mount_rootfs(container, request)
        container.spec = prepare(request.bundle, f"{request.bundle}/rootfs")
        files.write_runtime(request.bundle, container.runtime.binary, remembered(options, container.runtime))
        stdio = container.init.stdio = Stdio(shim.loop, shim.children, shim.journal, names)
        stdio.open(container.owner)
        yield from stdio.ready()
        if not request.checkpoint:  # a restored process comes into being when it is started
            with trace.step("runtime create", binary=container.runtime.binary):
                yield from run_init(container, "create")
    except OSError as error:
        yield from undo(container)
        raise from_oserror("create container", error) from None
    except Exception:
        yield from undo(container)
        raise
    return container


def mount_rootfs(container: Container, request: CreateTaskRequest) -> None:
    """Mount what the daemon asks for into the bundle; nothing asked for means that the spec names a directory."""
    if not request.rootfs:
        return
    target = f"{container.bundle}/rootfs"
    try:
        os.mkdir(target, 0o711)
    except FileExistsError:
        pass
    hit("shim.create.mount")
    try:
        mount_all(request.rootfs, target)
    except OSError as error:
        raise from_oserror("failed to mount rootfs component", error) from None
    container.rootfs = target


def run_init(container: Container, verb: str, extra: list[str] | None = None) -> Steps[None]:
    """Have the runtime create (or restore) init with its streams; learn its pid and its groups. Raises RpcError."""
    stdio = container.init.stdio
    if stdio is None:
        raise unknown("the container has no streams")
    console = ConsoleSocket(container.bundle, "") if stdio.names.terminal else None
    pid_file = f"{container.bundle}/{files.pid_file('')}"
    arguments = ["--bundle", container.bundle, "--pid-file", pid_file, *container.create_arguments, *(extra or ())]
    try:
        if console is not None:
            arguments += ["--console-socket", console.path]
        fds = {**NULL_STDIO, **stdio.child}
        container.shim.children.hold()
        try:
            yield from container.runtime.call(verb, arguments, id=container.id, log=container.log(), fds=fds)
            stdio.handed()
            pid = files.read_pid(container.bundle)
            if not pid:
                raise unknown(f"the OCI runtime wrote no pid into {pid_file}")
            container.adopt(container.init, pid)
        finally:
            container.shim.children.release()
        if console is not None:
            stdio.console(console.receive())
    finally:
        if console is not None:
            console.close()
    container.shim.loop.soon(container.find_cgroup)  # nothing that may come before needs to know
    _free_oom_score(container)
    stdio.start()


def _free_oom_score(container: Container) -> None:
    """A container whose spec sets no OOM score has that of any process, not the shim's protected one."""
    if container.spec is not None and not container.spec.own_oom_score and oom_score() < 0:
        set_oom_score(0, container.init.pid)


def undo(container: Container) -> Steps[None]:
    """Leave nothing of a create that failed."""
    shim = container.shim
    if container.init.stdio is not None:
        container.init.stdio.abandon()
    if container.init.pid:
        # the runtime was content and we were not
        shim.children.forget([container.init.pid])
        close(container.init.pidfd)
        try:
            yield from container.runtime.call("delete", ["--force"], id=container.id, log=container.log())
        except RpcError as error:
            shim.journal.warn(f"cannot undo the create of {container.id}: {error}")
    if container.rootfs:
        try:
            unmount_all(container.rootfs)
        except OSError as error:
            shim.journal.warn(f"cannot unmount {container.rootfs}: {error}")
