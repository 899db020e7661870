"""``pyctr unpause``."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import Command
from pycontainerd.client import containers, lifecycle, tasks
from pycontainerd.core.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "unpause",
    "CONTAINER [CONTAINER...]",
    "Let paused containers run on",
    least=1,
    example="pyctr unpause web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when it worked for all."""
    return each(arguments, lambda name: _unpause(context, name))


def _unpause(context: Context, name: str) -> None:
    container = containers.find(context.daemon, name)
    process = tasks.get(context.daemon, container.id)
    if process is None or process.status not in lifecycle.LIVE:
        raise Conflict(f"Container {container.id} is not running")
    if process.status != tasks.PAUSED:
        raise Conflict(f"Container {container.id} is not paused")
    tasks.resume(context.daemon, container.id)
