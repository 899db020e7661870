"""``pyctr attach``: join the streams of a running container."""

from __future__ import annotations

from ctr.detach import parse_keys
from ctr.errors import Failure
from ctr.flags import BOOL, STRING, Command, flag
from ctr.streams import Session
from pycontainerd.client import containers, lifecycle, tasks
from pycontainerd.client.attach import Fifos

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "attach",
    "[OPTIONS] CONTAINER",
    "Attach local standard streams to a running container",
    (
        flag("detach-keys", "", STRING, "Keys that detach from the container", default="ctrl-p,ctrl-q"),
        flag("no-stdin", "", BOOL, "Do not attach STDIN"),
        flag("replay", "", BOOL, "Show what it wrote last, first (up to 64 KiB)"),
        flag("sig-proxy", "", BOOL, "Pass signals on to the process", default="true"),
    ),
    least=1,
    most=1,
    example="pyctr attach --replay shell",
    notes="Leave with ctrl-p ctrl-q: the container runs on. Several clients may be attached at once.\n"
    "One that does not keep up holds nobody else up: it misses output beyond 1 MiB, and a line says how much.",
)
REPLAY = 64 << 10


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code: the container's, 0 when detached."""
    daemon = context.daemon
    container = containers.find(daemon, arguments[0])
    process = tasks.get(daemon, container.id)
    if process is None or process.status not in lifecycle.LIVE:
        raise Failure("You cannot attach to a stopped container, start it first", f"pyctr start -a {arguments[0]}")
    if process.status == tasks.PAUSED:
        raise Failure("You cannot attach to a paused container, unpause it first", f"pyctr unpause {arguments[0]}")
    tty = bool(container.config.get("Tty")) or process.terminal
    stdin = bool(container.config.get("OpenStdin")) and not values.on("no-stdin")
    keys = parse_keys(values.text("detach-keys"))
    with Fifos(context.fifo_directory, stdin=stdin, stdout=True, stderr=not tty) as fifos:
        fifos.attach(daemon, container.id, replay=REPLAY if values.on("replay") else 0)
        session = Session(daemon, fifos, container.id, terminal=tty)
        try:
            session.prepare(detach_keys=keys, proxy=values.on("sig-proxy"))
            return session.run()
        finally:
            session.close()
