"""``pyctr network connect``."""

from __future__ import annotations

from ctr.flags import LIST, STRING, Command, flag
from pycontainerd.client import containers, networks
from pycontainerd.wire.messages.networks import ConnectNetworkRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "network connect",
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    (
        flag("alias", "", LIST, "Add network-scoped alias for the container"),
        flag("ip", "", STRING, "IPv4 address (e.g., 172.30.100.104)"),
        flag("ip6", "", STRING, "IPv6 address (e.g., 2001:db8::33)"),
        flag("mac-address", "", STRING, "MAC address of the interface"),
    ),
    least=2,
    most=2,
    example="pyctr network connect --alias db back web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    container = containers.find(context.daemon, arguments[1])
    request = ConnectNetworkRequest(
        network=arguments[0],
        container=container.id,
        aliases=values.items("alias"),
        ipv4=values.text("ip"),
        ipv6=values.text("ip6"),
        mac=values.text("mac-address"),
    )
    networks.connect(context.daemon, request)
    return 0
