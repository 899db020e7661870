"""``pyctr wait``: block until containers stop."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import Command
from pycontainerd.client import containers, lifecycle, tasks
from pycontainerd.core.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "wait",
    "CONTAINER [CONTAINER...]",
    "Wait until containers stop, then print their exit codes",
    least=1,
    example="pyctr wait job",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; the containers' own codes are printed."""

    def wait(name: str) -> str:
        container = containers.find(context.daemon, name)
        process = tasks.get(context.daemon, container.id)
        if process is None or process.status not in (*lifecycle.LIVE, tasks.CREATED, tasks.STOPPED):
            return str(container.state.get("ExitCode", 0))
        with context.daemon.another() as waiting:
            try:
                return str(tasks.wait(waiting, container.id).exit_status)
            except NotFound:  # whoever started it has cleaned up already
                return str(containers.find(context.daemon, container.id).state.get("ExitCode", 0))

    return each(arguments, wait)
