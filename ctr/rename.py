"""``pyctr rename``."""

from __future__ import annotations

from ctr.flags import Command
from pycontainerd.client import containers, lifecycle

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
    lifecycle.rename(context.daemon, containers.find(context.daemon, arguments[0]), arguments[1])
    return 0
