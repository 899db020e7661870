"""``pyctr volume prune``."""

from __future__ import annotations

import sys

from ctr.flags import BOOL, LIST, Command, flag
from pycontainerd.client import volumes
from pycontainerd.core.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "volume prune",
    "[OPTIONS]",
    "Remove volumes that no container uses",
    (
        flag("all", "a", BOOL, "Remove all unused volumes, not just anonymous ones"),
        flag("filter", "", LIST, "Provide filter values (label=<label>, label!=<label>)", metavar="filter"),
        flag("force", "f", BOOL, "Do not prompt for confirmation"),
    ),
    most=0,
    example="pyctr volume prune -af",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0, also when the answer was no."""
    everything = values.on("all")
    if not values.on("force") and not _confirmed(everything=everything):
        return 0
    done = volumes.prune(context.daemon, values.items("filter"), all=everything)
    if done.names:
        print("Deleted Volumes:")
        print("\n".join(done.names))
        print()
    print(f"Total reclaimed space: {human_size(done.reclaimed)}")
    return 0


def _confirmed(*, everything: bool) -> bool:
    which = "all" if everything else "anonymous"
    print(f"WARNING! This will remove {which} local volumes not used by at least one container.")
    print("Are you sure you want to continue? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline().strip().lower()
    if answer not in ("y", "yes"):
        print("Total reclaimed space: 0B")
        return False
    return True
