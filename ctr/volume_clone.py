"""``pyctr volume clone``."""

from __future__ import annotations

from ctr.flags import LIST, Command, flag
from ctr.volume_create import pairs
from pycontainerd.client import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "volume clone",
    "[OPTIONS] VOLUME [NEW_NAME]",
    "Make a volume with the content of another",
    (
        flag("label", "", LIST, "Set metadata for the new volume"),
        flag("opt", "o", LIST, "Driver options of the new volume (size=10g)", metavar="map"),
    ),
    least=1,
    most=2,
    notes="Blocks are shared with the original where the file system can (XFS, btrfs), else copied.",
    example="pyctr volume clone db db-before-upgrade",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the new name; exit code 0."""
    name = arguments[1] if len(arguments) > 1 else ""
    options, labels = pairs(values, "opt"), pairs(values, "label")
    print(volumes.clone(context.daemon, arguments[0], name, options=options, labels=labels).name)
    return 0
