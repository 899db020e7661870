"""``pyctr volume rename``."""

from __future__ import annotations

from ctr.flags import Command
from pycontainerd.client import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "volume rename",
    "VOLUME NEW_NAME",
    "Rename a volume",
    least=2,
    most=2,
    notes="Containers that use it keep it, running ones too.",
    example="pyctr volume rename html html-old",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    volumes.rename(context.daemon, arguments[0], arguments[1])
    return 0
