"""``pyctr volume import``."""

from __future__ import annotations

from ctr.errors import Failure
from ctr.flags import LIST, Command, flag
from ctr.terminal import is_terminal
from ctr.volume_create import pairs
from pycontainerd.client import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "volume import",
    "[OPTIONS] VOLUME [FILE]",
    "Unpack a tar archive into a volume",
    (
        flag("label", "", LIST, "Set metadata for the volume, if it is made"),
        flag("opt", "o", LIST, "Driver options of the volume, if it is made", metavar="map"),
    ),
    least=1,
    most=2,
    notes="The archive may be compressed with gzip or zstd; without FILE, or with -, it is read from STDIN. A volume\n"
    "that is not there is made; in one that is, the archive's files replace those of the same names.",
    example="pyctr volume import db db.tar.zst",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the name; exit code 0."""
    path = arguments[1] if len(arguments) > 1 else "-"
    if path == "-" and is_terminal(0):
        raise Failure("requested import from stdin, but stdin is a terminal", "name a FILE")
    options, labels = pairs(values, "opt"), pairs(values, "label")
    with open(0, "rb", closefd=False) if path == "-" else open(path, "rb") as archive:
        print(volumes.load(context.daemon, arguments[0], archive, options=options, labels=labels).name)
    return 0
