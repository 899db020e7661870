"""``pyctr volume create``."""

from __future__ import annotations

from ctr.errors import UsageError
from ctr.flags import LIST, STRING, Command, flag
from pycontainerd.client import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "volume create",
    "[OPTIONS] [VOLUME]",
    "Create a volume",
    (
        flag("driver", "d", STRING, "Volume driver name", default="local"),
        flag("label", "", LIST, "Set metadata for a volume"),
        flag("name", "", STRING, "Volume name (the argument is shorter)"),
        flag("opt", "o", LIST, "Driver options: type, device, o, size", metavar="map"),
    ),
    most=1,
    example="pyctr volume create html\npyctr volume create -o size=1g scratch\n"
    "pyctr volume create -o type=nfs -o o=addr=10.0.0.1,rw -o device=:/export shared",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the name; exit code 0."""
    name = values.text("name")
    if arguments and name and name != arguments[0]:
        raise UsageError("conflicting options: either specify --name or provide positional arg, not both")
    made = volumes.create(
        context.daemon,
        arguments[0] if arguments else name,
        driver=values.text("driver"),
        options=pairs(values, "opt"),
        labels=pairs(values, "label"),
    )
    print(made.name)
    return 0


def pairs(values: Values, name: str) -> dict[str, str]:
    """``key=value`` items of a flag; a key alone has an empty value."""
    result: dict[str, str] = {}
    for item in values.items(name):
        key, _, value = item.partition("=")
        if not key:
            raise UsageError(f'invalid argument "{item}" for "--{name}" flag: give key=value')
        result[key] = value
    return result
