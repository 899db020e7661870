"""``pyctr volume ls``."""

from __future__ import annotations

from ctr.flags import BOOL, LIST, STRING, Command, flag
from ctr.output import Table
from pycontainerd.client import volumes
from pycontainerd.core.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from ctr.output import Row
    from pycontainerd.wire.messages.volumes import Volume

COMMAND = Command(
    "volume ls",
    "[OPTIONS]",
    "List volumes",
    (
        flag("filter", "f", LIST, "Filter output (name, label, driver, dangling)", metavar="filter"),
        flag("format", "", STRING, "Format output: table, json, a Go template, or 'table TEMPLATE'"),
        flag("quiet", "q", BOOL, "Only display volume names"),
        flag("size", "s", BOOL, "Measure what the volumes hold"),
    ),
    most=0,
    example="pyctr volume ls --filter dangling=true -q",
)
COLUMNS = (("Driver", "DRIVER"), ("Name", "VOLUME NAME"))
SIZES = (*COLUMNS, ("Links", "LINKS"), ("Size", "SIZE"))
MORE = (
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    found = volumes.list_all(context.daemon, values.items("filter"), usage=values.on("size"))
    if values.on("quiet") and not values.given("format"):
        for volume in found:
            print(volume.name)
        return 0
    columns = SIZES if values.on("size") else COLUMNS
    Table(columns, MORE).print([_row(volume) for volume in found], values.text("format"))
    return 0


def _row(volume: Volume) -> Row:
    measured = volume.usage is not None
    return {
        "Driver": volume.driver,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(volume.labels.items())),
        "Links": str(len({user.container for user in volume.users})) if measured else "N/A",
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": "local",
        "Size": human_size(volume.usage.size) if volume.usage is not None else "N/A",
        "Status": "lost" if volume.lost else "",
    }
