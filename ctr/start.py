"""``pyctr start``: start containers that do not run; with ``-a`` or ``-i`` stay with one."""

from __future__ import annotations

from ctr.detach import parse_keys
from ctr.each import each
from ctr.errors import Failure, UsageError
from ctr.flags import BOOL, STRING, Command, flag
from ctr.streams import Session
from pycontainerd.client import containers, lifecycle, supervisor, tasks
from pycontainerd.client.attach import Fifos

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "start",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    (
        flag("attach", "a", BOOL, "Attach STDOUT and STDERR, and pass signals on"),
        flag("checkpoint", "", STRING, "Restore from this checkpoint: not offered"),
        flag("checkpoint-dir", "", STRING, "Where the checkpoint is kept: not offered"),
        flag("detach-keys", "", STRING, "Keys that detach from the container", default="ctrl-p,ctrl-q"),
        flag("interactive", "i", BOOL, "Attach the container's STDIN"),
        flag("sig-proxy", "", BOOL, "Pass signals on to the process", default="true"),
    ),
    least=1,
    example="pyctr start web db\npyctr start -ai shell",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code: the container's when attached, else 0 when all were started."""
    if values.text("checkpoint"):
        hint = "ctr restores them: ctr containers restore NAME IMAGE"
        raise Failure(f"--checkpoint {values.text('checkpoint')} is not offered", hint)
    if not values.on("attach") and not values.on("interactive"):
        return each(arguments, lambda name: begin(context, name))
    if len(arguments) > 1:
        raise UsageError("you cannot start and attach multiple containers at once")
    return _attached(context, values, arguments[0])


def begin(context: Context, name: str) -> None:
    """Start one; running already is fine."""
    daemon = context.daemon
    container = containers.find(daemon, name)
    if not lifecycle.alive(daemon, container):
        lifecycle.refresh(daemon, container)
    supervisor.start(daemon, container.id)


def _attached(context: Context, values: Values, name: str) -> int:
    daemon = context.daemon
    container = containers.find(daemon, name)
    alive = lifecycle.alive(daemon, container)
    if not alive:
        lifecycle.refresh(daemon, container)
        lifecycle.create_task(daemon, container)
    tty = bool(container.config.get("Tty"))
    stdin = values.on("interactive") and bool(container.config.get("OpenStdin"))
    keys = parse_keys(values.text("detach-keys"))
    with Fifos(context.fifo_directory, stdin=stdin, stdout=True, stderr=not tty) as fifos:
        fifos.attach(daemon, container.id, waited_for=True)
        session = Session(daemon, fifos, container.id, terminal=tty)
        try:
            session.prepare(detach_keys=keys, proxy=values.on("sig-proxy"))
            if not alive:
                tasks.start(daemon, container.id)
            code = session.run()
        finally:
            session.close()
    lifecycle.ended(daemon, container)
    return code
