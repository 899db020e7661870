"""``pyctr wait``: block until containers stop."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import Command
from pycontainerd.client import containers, supervisor
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
        with context.daemon.another() as waiting:
            try:
                return str(supervisor.wait(waiting, container.id).exit_code)
            except NotFound as error:  # it was removed meanwhile
                raise NotFound(f"No such container: {name}") from error

    return each(arguments, wait)
