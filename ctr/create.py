"""``pyctr create``: make a container without starting it."""

from __future__ import annotations

from ctr import container_flags, launch
from ctr.flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "create",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    container_flags.FLAGS,
    least=1,
    interspersed=False,
    example="pyctr create --name job busybox sleep 60 && pyctr start job",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the id; exit code 0."""
    print(launch.make(context, values, arguments).container.id)
    return 0
