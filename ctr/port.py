"""``pyctr port``: where a container's ports are published."""

from __future__ import annotations

from ctr.errors import Failure
from ctr.flags import Command
from pycontainerd.client import containers, networks
from pycontainerd.core.publish import exposed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "port",
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    least=1,
    most=2,
    example="pyctr port web 80",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; 1 when the port asked for is not published."""
    container = containers.find(context.daemon, arguments[0])
    sandbox = networks.sandboxes(context.daemon, [container.id]).get(container.id)
    ports = networks.ports_of(sandbox)
    if len(arguments) == 2:
        port = exposed(arguments[1])
        if port not in ports:
            raise Failure(f"No public port '{port}' published for {arguments[0]}")
        for entry in ports[port]:
            print(address(entry))
        return 0
    for port, entries in ports.items():
        for entry in entries:
            print(f"{port} -> {address(entry)}")
    return 0


def address(entry: dict[str, str]) -> str:
    """``0.0.0.0:8080`` or ``[::]:8080``."""
    host = entry["HostIp"]
    return f"{f'[{host}]' if ':' in host else host}:{entry['HostPort']}"
