"""``pyctr diff``: what a container changed in its root filesystem."""

from __future__ import annotations

import os
import sys

from ctr.flags import Command
from pycontainerd.client import archive, containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "diff",
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
    least=1,
    most=1,
    example="pyctr diff web",
    notes="A: added, C: changed, D: deleted.",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    container = containers.find(context.daemon, arguments[0])
    out = sys.stdout.buffer
    for letter, path in archive.changes(context.daemon, container.id):
        out.write(letter.encode() + b" " + path + os.linesep.encode())
    out.flush()
    return 0
