"""``pyctr network prune``."""

from __future__ import annotations

from ctr import asking
from ctr.flags import BOOL, LIST, Command, flag
from ctr.prunefilters import PruneFilter
from pycontainerd.client import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "network prune",
    "[OPTIONS]",
    "Remove networks that no container is on",
    (
        flag("filter", "", LIST, 'Provide filter values (e.g. "until=<timestamp>")', metavar="filter"),
        flag("force", "f", BOOL, "Do not prompt for confirmation"),
    ),
    most=0,
    example="pyctr network prune -f",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0, also when the answer was no."""
    PruneFilter(values.items("filter"))
    warning = "This will remove all custom networks not used by at least one container."
    if not values.on("force") and not asking.confirmed(warning):
        return 0
    asking.removed("Deleted Networks:", networks.prune(context.daemon, values.items("filter")))
    return 0
