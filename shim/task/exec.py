"""Exec: register a further process of a container. Start makes it run."""

from __future__ import annotations

from pycontainerd.linux.fds import write_file
from pycontainerd.linux.prctl import oom_score
from pycontainerd.wire.messages.events_task import TaskExecAdded
from pycontainerd.wire.messages.google import Empty
from shim import bundle as files
from shim.errors import already_exists, from_oserror, invalid
from shim.jsontext import dumps, loads
from shim.process import Process
from shim.spec import group_add_of, load, root_of
from shim.states import CREATED, check
from shim.stdio.setup import Names, Stdio
from shim.users import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycontainerd.wire.messages.task_v3 import ExecProcessRequest
    from shim.container import Container
    from shim.context import Shim


def exec_process(shim: Shim, request: ExecProcessRequest) -> Empty:
    """Keep the process to be run under its id. Raises RpcError."""
    container = shim.container(request.id)
    exec_id = request.exec_id
    if not exec_id or "/" in exec_id or exec_id.startswith("."):
        raise invalid(f"exec id {exec_id!r} cannot be used")
    if exec_id in container.execs or exec_id == request.id:
        raise already_exists(f"id {exec_id}")
    check("exec", container.init.state)
    names = Names(request.stdin, request.stdout, request.stderr, request.terminal)
    process = Process(exec_id, names)
    process.stdio = Stdio(shim.loop, shim.children, shim.journal, names)
    spec = _spec(container, request)
    try:
        write_file(f"{container.bundle}/{files.process_file(exec_id)}", spec)
    except OSError as error:
        raise from_oserror("exec process", error) from None
    container.execs[exec_id] = process
    shim.events.publish(TaskExecAdded(container_id=request.id, exec_id=exec_id))
    return Empty()


def _spec(container: Container, request: ExecProcessRequest) -> bytes:
    """The OCI process as it came, or with the user name it holds looked up in the container."""
    value = request.spec.value if request.spec is not None else b""
    try:
        process = loads(value)
    except ValueError as error:
        raise invalid(f"exec process spec: {error}") from None
    if not isinstance(process, dict):
        raise invalid("exec process spec is no JSON object")
    changed = bool(process.get("terminal")) is not request.terminal
    if changed:
        process["terminal"] = request.terminal  # the request decides who waits for a terminal
    if "oomScoreAdj" not in process and container.init.pid and oom_score() < 0:
        process["oomScoreAdj"] = oom_score(container.init.pid)  # the container's, not the shim's protected one
        changed = True
    if b'"username"' in value:
        document = load(container.bundle)
        changed |= resolve(process, _root(container, document), group_add_of(document))
    return dumps(process).encode() if changed else value


def _root(container: Container, document: dict[str, Any]) -> str:
    """The container's root as its processes see it, or the bundle's while init has not entered it."""
    if container.init.pid and container.init.state != CREATED:
        return f"/proc/{container.init.pid}/root"
    return root_of(document, container.bundle, f"{container.bundle}/rootfs")
