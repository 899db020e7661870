"""``pyctr network rm``."""

from __future__ import annotations

from ctr.each import each
from ctr.flags import BOOL, Command, flag
from ctr.network_ls import MODES
from pycontainerd.client import networks
from pycontainerd.core.errors import FailedPrecondition, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "network rm",
    "[OPTIONS] NETWORK [NETWORK...]",
    "Remove one or more networks",
    (flag("force", "f", BOOL, "Do not error if the network does not exist"),),
    least=1,
    example="pyctr network rm back",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when all are gone."""

    def remove(name: str) -> str | None:
        try:
            networks.remove(context.daemon, name)
        except NotFound:
            if name in MODES:
                raise FailedPrecondition(f"{name} is a pre-defined network and cannot be removed") from None
            if not values.on("force"):
                raise
            return ""
        return None

    return each(arguments, remove)
