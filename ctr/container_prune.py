"""``pyctr container prune``: remove what does not run."""

from __future__ import annotations

from ctr import asking
from ctr.flags import BOOL, LIST, Command, flag
from ctr.prunefilters import PruneFilter
from pycontainerd.client import containers, snapshots, state, supervisor
from pycontainerd.client.happenings import tell
from pycontainerd.core.errors import FailedPrecondition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "container prune",
    "[OPTIONS]",
    "Remove all stopped containers",
    (
        flag("filter", "", LIST, 'Provide filter values (e.g. "until=<timestamp>")', metavar="filter"),
        flag("force", "f", BOOL, "Do not prompt for confirmation"),
    ),
    most=0,
    example="pyctr container prune -f --filter until=24h",
)
WARNING = "This will remove all stopped containers."


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0, also when the answer was no."""
    wanted = PruneFilter(values.items("filter"))
    if not values.on("force") and not asking.confirmed(WARNING):
        return 0
    asking.reclaimed(prune(context, wanted))
    return 0


def prune(context: Context, wanted: PruneFilter) -> int:
    """Remove them, say so; return the bytes that came free."""
    daemon = context.daemon
    everything = [item for item in containers.list_all(daemon) if item.ours]
    states = state.of_all(daemon, everything)
    gone, size = [], 0
    for container in everything:
        down = states[container.id].status in ("created", "exited", "dead")
        if not down or not wanted(container.created, container.config.get("Labels") or {}):
            continue
        held = snapshots.size(daemon, container.record.snapshotter, container.record.snapshot_key)
        try:
            supervisor.remove(daemon, container.id)
        except FailedPrecondition:
            continue  # somebody has started it meanwhile
        gone.append(container.id)
        size += held
    tell(daemon, "container", "prune", "", reclaimed=str(size))
    asking.removed("Deleted Containers:", gone)
    return size
