"""``pyctr rename``."""

from __future__ import annotations

from ctr.flags import Command
from pycontainerd.client import containers, names
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.settings import check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "rename",
    "CONTAINER NEW_NAME",
    "Rename a container",
    least=2,
    most=2,
    example="pyctr rename web web-old",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    container = containers.find(context.daemon, arguments[0])
    name = check_name(arguments[1])
    if name == container.name:
        raise InvalidArgument("Renaming a container with the same name as its current name")
    names.rename(context.daemon, container.id, name)
    return 0
