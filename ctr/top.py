"""``pyctr top``: the processes of a container, as the host's ps shows them."""

from __future__ import annotations

from ctr.errors import Failure
from ctr.flags import Command
from ctr.output import aligned
from pycontainerd.client import containers, lifecycle, tasks
from pycontainerd.client.happenings import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "top",
    "CONTAINER [ps OPTIONS]",
    "Show the processes of a container",
    least=1,
    interspersed=False,
    example="pyctr top web\npyctr top web -o pid,cmd",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    container = containers.find(context.daemon, arguments[0])
    process = tasks.get(context.daemon, container.id)
    if process is None or process.status not in lifecycle.LIVE:
        raise Failure(f"Container {container.id} is not running", f"pyctr start {arguments[0]}")
    wanted = set(tasks.pids(context.daemon, container.id))
    heading, *lines = _host_processes(arguments[1:] or ["-ef"])
    names = heading.split()
    if "PID" not in names:
        raise Failure("Couldn't find PID field in ps output", "let ps print it: -o pid,…")
    place = names.index("PID")
    rows = [names]
    for line in lines:
        cells = line.split(None, len(names) - 1)
        if len(cells) > place and cells[place].isdigit() and int(cells[place]) in wanted:
            rows.append(cells)
    tell(context.daemon, "container", "top", container.id)
    print(aligned(rows, 20), end="")
    return 0


def _host_processes(options: list[str]) -> list[str]:
    from pycontainerd.client import programs

    result = programs.output(["ps", *options])
    if result.code:
        raise Failure(f"ps: {result.complaint}", "is procps installed on this host?")
    return result.lines
