"""``pyctr volume rm``."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import BOOL, Command, flag
from pycontainerd.client import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "volume rm",
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes",
    (flag("force", "f", BOOL, "Missing ones are no failure"),),
    least=1,
    notes="You cannot remove a volume that is in use by a container.",
    example="pyctr volume rm html",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the names; exit code 0 when all are gone."""
    return each(arguments, lambda name: volumes.remove(context.daemon, name, force=values.on("force")))
