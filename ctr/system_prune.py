"""``pyctr system prune``: remove everything that nothing stands on."""

from __future__ import annotations

from ctr import asking, container_prune, image_prune
from ctr.errors import UsageError
from ctr.flags import BOOL, LIST, Command, flag
from ctr.prunefilters import PruneFilter
from pycontainerd.client import volumes
from pycontainerd.client.networks import prune as prune_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "system prune",
    "[OPTIONS]",
    "Remove unused data",
    (
        flag("all", "a", BOOL, "Remove all unused images, not just those without a name"),
        flag("filter", "", LIST, 'Provide filter values (e.g. "label=<key>=<value>")', metavar="filter"),
        flag("force", "f", BOOL, "Do not prompt for confirmation"),
        flag("volumes", "", BOOL, "Prune anonymous volumes"),
    ),
    most=0,
    example="pyctr system prune -af --volumes",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0, also when the answer was no."""
    items = values.items("filter")
    wanted = PruneFilter(items)
    if values.on("volumes") and any(item.startswith("until=") for item in items):
        raise UsageError('The "until" filter is not supported with "--volumes"')
    if not values.on("force") and not asking.confirmed(_warning(values)):
        return 0
    size = container_prune.prune(context, wanted)
    asking.removed("Deleted Networks:", prune_networks(context.daemon, items))
    if values.on("volumes"):
        done = volumes.prune(context.daemon, items)
        asking.removed("Deleted Volumes:", done.names)
        size += done.reclaimed
    size += image_prune.prune(context, wanted, everything=values.on("all"))
    asking.reclaimed(size)
    return 0


def _warning(values: Values) -> str:
    lines = ["all stopped containers", "all networks not used by at least one container"]
    lines += ["all anonymous volumes not used by at least one container"] if values.on("volumes") else []
    images = "images without at least one container associated to them" if values.on("all") else "dangling images"
    lines.append(f"all {images}")
    return "This will remove:\n" + "".join(f"  - {line}\n" for line in lines)
