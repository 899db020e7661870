"""``pyctr export``: a container's root filesystem as a tar archive."""

from __future__ import annotations

import sys

from ctr.errors import Failure
from ctr.files import written
from ctr.flags import STRING, Command, flag
from pycontainerd.client import archive, containers
from pycontainerd.client.happenings import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "export",
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    (flag("output", "o", STRING, "Write to a file, instead of STDOUT"),),
    least=1,
    most=1,
    example="pyctr export -o web.tar web",
    notes="What is mounted into the container, volumes included, is left out.",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; a file that was not finished is removed."""
    path = values.text("output")
    if not path and sys.stdout.isatty():
        raise Failure("cowardly refusing to save to a terminal", "use the -o flag or redirect")
    container = containers.find(context.daemon, arguments[0])
    with written(path) as out:
        for piece in archive.export(context.daemon, container.id):
            out.write(piece)
    tell(context.daemon, "container", "export", container.id)
    return 0
