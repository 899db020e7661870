"""``pyctr image prune``: remove images that nothing stands on."""

from __future__ import annotations

from ctr import asking
from ctr.flags import BOOL, LIST, Command, flag
from ctr.prunefilters import PruneFilter
from pycontainerd.client import images, usage
from pycontainerd.client.happenings import tell
from pycontainerd.client.times import ns
from pycontainerd.core.errors import PycontainerdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "image prune",
    "[OPTIONS]",
    "Remove unused images",
    (
        flag("all", "a", BOOL, "Remove all unused images, not just those without a name"),
        flag("filter", "", LIST, 'Provide filter values (e.g. "until=<timestamp>")', metavar="filter"),
        flag("force", "f", BOOL, "Do not prompt for confirmation"),
    ),
    most=0,
    example="pyctr image prune -a --filter until=240h",
)
ALL = "This will remove all images without at least one container associated to them."
DANGLING = "This will remove all dangling images."


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0, also when the answer was no."""
    everything = values.on("all") or "dangling=false" in values.items("filter")
    wanted = PruneFilter(values.items("filter"), more=("dangling",))
    if not values.on("force") and not asking.confirmed(ALL if everything else DANGLING):
        return 0
    asking.reclaimed(prune(context, wanted, everything=everything))
    return 0


def prune(context: Context, wanted: PruneFilter, *, everything: bool) -> int:
    """Remove them, say so; return the bytes that came free."""
    daemon = context.daemon
    before = usage.Usage(daemon)
    lines: list[str] = []
    for use in before.images.values():
        nameless = all(image.name.startswith(images.NAMELESS) for image in use.names)
        if use.containers or not (everything or nameless):
            continue
        created = max(ns(image.created_at) for image in use.names)
        if not wanted(created, _labels(context, use)):
            continue
        lines += [f"untagged: {images.familiar(image.name)}" for image in use.names]
        lines.append(f"deleted: {use.digest}")
        for number, image in enumerate(use.names, 1):
            images.delete(daemon, image.name, sync=number == len(use.names))
    size = max(0, before.total - usage.Usage(daemon).total) if lines else 0
    tell(daemon, "image", "prune", "", reclaimed=str(size))
    asking.removed("Deleted Images:", lines)
    return size


def _labels(context: Context, use: usage.ImageUse) -> dict[str, str]:
    try:
        return images.contents(context.daemon, use.names[0]).settings.get("Labels") or {}
    except PycontainerdError:
        return {}
