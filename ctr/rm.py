"""``pyctr rm``: remove containers."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import BOOL, Command, flag
from pycontainerd.client import containers, supervisor
from pycontainerd.core.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "rm",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
    (
        flag("force", "f", BOOL, "Kill running containers; missing ones are no failure"),
        flag("volumes", "v", BOOL, "Remove anonymous volumes of the container"),
        flag("link", "l", BOOL, "Remove the specified link (there are none)"),
    ),
    least=1,
    example="pyctr rm -f $(pyctr ps -aq)",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when all are gone."""
    force = values.on("force")

    def remove(name: str) -> str | None:
        try:
            container = containers.find(context.daemon, name)
        except NotFound:
            if not force:
                raise
            return ""
        supervisor.remove(context.daemon, container.id, force=force, volumes=values.on("volumes"))
        return None

    return each(arguments, remove)
