"""``pyctr restart``: stop and start again."""

from __future__ import annotations

from ctr import start
from ctr.each import each
from ctr.flags import Command
from ctr.stop import FLAGS, stop
from pycontainerd.client import containers
from pycontainerd.client.happenings import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "restart",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    FLAGS,
    least=1,
    example="pyctr restart web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when all run again."""

    def again(name: str) -> None:
        container = containers.find(context.daemon, name)
        stop(context, values, container)
        start.begin(context, container.id)
        tell(context.daemon, "container", "restart", container.id)

    return each(arguments, again)
