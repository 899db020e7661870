"""``pyctr exec``: run another command in a running container."""

from __future__ import annotations

import os

from ctr.container_flags import environment
from ctr.detach import parse_keys
from ctr.errors import NOT_EXECUTABLE, Failure, UsageError, command_code, describe, explained
from ctr.flags import BOOL, LIST, STRING, Command, flag
from ctr.streams import Session
from ctr.terminal import is_terminal
from pycontainerd.client import containers, lifecycle, tasks
from pycontainerd.client.attach import Fifos
from pycontainerd.core import spec
from pycontainerd.core.errors import NotFound, PycontainerdError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container

    Json = dict[str, Any]

COMMAND = Command(
    "exec",
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    (
        flag("detach", "d", BOOL, "Run the command in the background"),
        flag("detach-keys", "", STRING, "Keys that detach from the command", default="ctrl-p,ctrl-q"),
        flag("env", "e", LIST, "Set environment variables"),
        flag("env-file", "", LIST, "Read environment variables from a file"),
        flag("interactive", "i", BOOL, "Keep STDIN open even if not attached"),
        flag("privileged", "", BOOL, "Give extended privileges to the command"),
        flag("tty", "t", BOOL, "Allocate a pseudo-terminal"),
        flag("user", "u", STRING, "User name or id (format: <name|uid>[:<group|gid>])"),
        flag("workdir", "w", STRING, "Working directory inside the container"),
    ),
    least=2,
    interspersed=False,
    example="pyctr exec -it web sh\npyctr exec -u 1000 -e DEBUG=1 web env",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code: the command's; 126 or 127 when it cannot be executed or found; 1 when the container does not run."""
    if values.on("tty") and values.on("interactive") and not values.on("detach") and not is_terminal(0):
        raise UsageError("the input device is not a TTY")
    keys = parse_keys(values.text("detach-keys"))
    container = _running(context, arguments[0])
    exec_id = os.urandom(16).hex()
    process = spec.exec_process(container.spec.get("process") or {}, arguments[1:], _options(values))
    stdin = values.on("interactive") and not values.on("detach")
    tty = values.on("tty")
    output = "" if values.on("detach") else "none:"
    stdio = tasks.Stdio("attach:" if stdin else "", output, "" if tty else output, terminal=tty)
    daemon = context.daemon
    try:
        tasks.exec_(daemon, container.id, exec_id, process, stdio)
        if values.on("detach"):
            tasks.start(daemon, container.id, exec_id)
            return 0
        with Fifos(context.fifo_directory, stdin=stdin, stdout=True, stderr=not tty) as fifos:
            fifos.attach(daemon, container.id, exec_id, waited_for=True)
            session = Session(daemon, fifos, container.id, exec_id, terminal=tty)
            try:
                session.prepare(detach_keys=keys, proxy=False)
                tasks.start(daemon, container.id, exec_id)
                code = session.run()
            finally:
                session.close()
    except PycontainerdError as error:
        _forget(context, container, exec_id)
        raise _not_started(error, arguments[1:]) from error
    _forget(context, container, exec_id)
    return code


def _not_started(error: PycontainerdError, command: list[str]) -> Exception:
    """With Docker's 126 for whatever keeps a command from running, but for one that is not there."""
    told = explained(error, command)
    if told is error and not command_code(error) and not isinstance(error, Unavailable):
        return Failure(*describe(error), NOT_EXECUTABLE)
    return told


def _running(context: Context, name: str) -> Container:
    try:
        container = containers.find(context.daemon, name)
    except NotFound as error:
        raise Failure(error.what, code=1) from error
    process = tasks.get(context.daemon, container.id)
    if process is None or process.status not in lifecycle.LIVE:
        raise Failure(f"Container {container.id} is not running", f"pyctr start {name}", 1)
    if process.status == tasks.PAUSED:
        raise Failure(f"Container {name} is paused, unpause the container before exec", f"pyctr unpause {name}", 1)
    return container


def _options(values: Values) -> Json:
    options: Json = {
        "Env": environment(values),
        "User": values.text("user"),
        "WorkingDir": values.text("workdir"),
        "Tty": values.on("tty"),
        "Privileged": values.on("privileged"),
    }
    if options["Privileged"]:
        from pycontainerd.client import host

        options["Capabilities"] = list(host.look().capabilities)
    return options


def _forget(context: Context, container: Container, exec_id: str) -> None:
    """Clean up after the command; what has gone by itself is fine, and the daemon cleans up the rest with the task."""
    try:
        tasks.delete_process(context.daemon, container.id, exec_id)
    except PycontainerdError:
        pass
