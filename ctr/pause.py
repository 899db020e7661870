"""``pyctr pause``."""

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
    "pause",
    "CONTAINER [CONTAINER...]",
    "Pause all processes of containers",
    least=1,
    example="pyctr pause web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when it worked for all."""
    return each(arguments, lambda name: _pause(context, name))


def _pause(context: Context, name: str) -> None:
    container = containers.find(context.daemon, name)
    process = tasks.get(context.daemon, container.id)
    if process is None or process.status not in lifecycle.LIVE:
        raise Conflict(f"Container {container.id} is not running")
    if process.status == tasks.PAUSED:
        raise Conflict(f"Container {container.id} is already paused")
    tasks.pause(context.daemon, container.id)
