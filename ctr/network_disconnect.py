"""``pyctr network disconnect``."""

from __future__ import annotations

from ctr.flags import BOOL, Command, flag
from ctr.network_connect import check
from pycontainerd.client import containers, networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "network disconnect",
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    (flag("force", "f", BOOL, "Go on when the interface cannot be removed"),),
    least=2,
    most=2,
    example="pyctr network disconnect back web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    container = containers.find(context.daemon, arguments[1])
    check(arguments[0], container)
    networks.disconnect(context.daemon, arguments[0], container.id, force=values.on("force"))
    return 0
