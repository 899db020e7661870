"""``pyctr run``: create a container, start it, and stay with it unless ``-d``."""

from __future__ import annotations

from ctr import container_flags, launch
from ctr.detach import parse_keys
from ctr.errors import Exited, UsageError, explained
from ctr.flags import BOOL, Command, flag
from ctr.streams import Session
from ctr.terminal import is_terminal
from pycontainerd.client import containers, lifecycle, supervisor, tasks
from pycontainerd.client.attach import Fifos

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.create import Created

COMMAND = Command(
    "run",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    (
        *container_flags.FLAGS,
        flag("detach", "d", BOOL, "Run in the background and print the container's id"),
        flag("sig-proxy", "", BOOL, "Pass signals on to the process", default="true"),
    ),
    least=1,
    interspersed=False,
    failure=125,
    example="pyctr run --rm -it busybox sh\npyctr run -d --name web --memory 256m --cpus 0.5 IMAGE",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code: the container's, 0 with ``-d``, 125 when it could not be created or started, 126 or 127 as Docker."""
    _check(values)
    created = launch.make(context, values, arguments)
    container = created.container
    try:
        if values.on("detach"):
            supervisor.start(context.daemon, container.id)
            print(container.id)
            return 0
        return _foreground(context, values, created)
    except Exited:
        raise  # it was started; the user has left it
    except Exception as error:
        _give_up(context, container)
        words = container.spec.get("process", {}).get("args")
        raise explained(error, words) from error


def _check(values: Values) -> None:
    if values.on("detach") and values.items("attach"):
        raise UsageError("conflicting options: cannot specify both --attach and --detach")
    if values.on("tty") and values.on("interactive") and not values.on("detach") and not is_terminal(0):
        raise UsageError("the input device is not a TTY")
    parse_keys(values.text("detach-keys"))


def _give_up(context: Context, container: containers.Container) -> None:
    """What could not be started stays for a look at it, as Docker has it; what is to be removed anyway goes."""
    if lifecycle.alive(context.daemon, container):
        return  # it runs: something went wrong with us, not with it
    tasks.delete(context.daemon, container.id)
    if container.host_config.get("AutoRemove"):
        supervisor.remove(context.daemon, container.id, force=True, volumes=True)


def _foreground(context: Context, values: Values, created: Created) -> int:
    daemon, container = context.daemon, created.container
    tty = bool(container.config.get("Tty"))
    lifecycle.create_task(daemon, container, created.mounts)
    with Fifos(context.fifo_directory, **wanted(values, container)) as fifos:
        fifos.attach(daemon, container.id, waited_for=True)
        session = Session(daemon, fifos, container.id, terminal=tty)
        try:
            session.prepare(detach_keys=parse_keys(values.text("detach-keys")), proxy=values.on("sig-proxy"))
            tasks.start(daemon, container.id)
            code = session.run()
        finally:
            session.close()
    lifecycle.ended(daemon, container)
    return code


def wanted(values: Values, container: containers.Container) -> dict[str, bool]:
    """Which streams to attach: those of ``-a``, else the outputs, and the input with ``-i``."""
    named = {stream.lower() for stream in values.items("attach")}
    tty = bool(container.config.get("Tty"))
    return {
        "stdin": bool(container.config.get("OpenStdin")) and (not named or "stdin" in named),
        "stdout": not named or "stdout" in named or (tty and "stderr" in named),
        "stderr": not tty and (not named or "stderr" in named),
    }
