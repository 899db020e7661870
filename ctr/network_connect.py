"""``pyctr network connect``."""

from __future__ import annotations

from ctr.errors import Failure
from ctr.flags import INT, LIST, STRING, Command, flag
from ctr.network_ls import MODES
from pycontainerd.client import containers, networks
from pycontainerd.core.publish import is_bridged
from pycontainerd.wire.messages.networks import ConnectNetworkRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.client.containers import Container

COMMAND = Command(
    "network connect",
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    (
        flag("alias", "", LIST, "Add network-scoped alias for the container"),
        flag("driver-opt", "", LIST, "Driver options of the endpoint: not offered"),
        flag("gw-priority", "", INT, "Which network has the default gateway: not offered"),
        flag("ip", "", STRING, "IPv4 address (e.g., 172.30.100.104)"),
        flag("ip6", "", STRING, "IPv6 address (e.g., 2001:db8::33)"),
        flag("link", "", LIST, "Links to other containers: not offered"),
        flag("link-local-ip", "", LIST, "Link-local addresses: not offered"),
        flag("mac-address", "", STRING, "MAC address of the interface"),
    ),
    least=2,
    most=2,
    example="pyctr network connect --alias db back web",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    for name, hint in _REFUSED:
        if values.given(name) and values.text(name) != "0":
            raise Failure(f"--{name} {values.text(name)} is not offered", hint)
    container = containers.find(context.daemon, arguments[1])
    check(arguments[0], container)
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


_SHOWN = len("container:") + 12
"""Of a mode that names a container by its id: the id's beginning will do."""
_REFUSED = (
    ("driver-opt", "give the network's options with pyctr network create --opt"),
    ("gw-priority", "the way out is the first network's that has one"),
    ("link", "containers of one network find each other by name; further names are given with --alias"),
    ("link-local-ip", "give --ip or --ip6 with an address of the network"),
)


def check(network: str, container: Container) -> None:
    """Raises Failure for what is no network of the daemon's, and for a container that can be on none."""
    if network in MODES:
        raise Failure(
            f"container cannot be connected to the {network} network or disconnected from it",
            f"run it with --network {network}",
        )
    mode = str(container.host_config.get("NetworkMode") or "")
    if not is_bridged(mode):
        raise Failure(
            f"container {container.name} runs in network mode {mode[:_SHOWN]} and can be on no other network",
            "run it with --network NAME",
        )
