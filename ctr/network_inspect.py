"""``pyctr network inspect``."""

from __future__ import annotations

from ctr.flags import BOOL, STRING, Command, flag
from ctr.network_ls import builtin
from ctr.showing import show_all
from pycontainerd.client import names, networks
from pycontainerd.client.times import ns, rfc3339
from pycontainerd.core.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.wire.messages.networks import Endpoint, Network

    Json = dict[str, Any]

COMMAND = Command(
    "network inspect",
    "[OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    (
        flag("format", "f", STRING, "Format output with a Go template (or json)"),
        flag("verbose", "v", BOOL, "Verbose output for diagnostics"),
    ),
    least=1,
    example="pyctr network inspect -f '{{range .Containers}}{{.Name}} {{end}}' bridge",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0; 1 when one of them is not there, the others being shown."""
    return show_all(arguments, lambda name: look_up(context, name), values.text("format"))


def look_up(context: Context, name: str) -> Json:
    """Docker's document of a network. Raises NotFound."""
    try:
        found = networks.get(context.daemon, name)
    except NotFound:
        plain = {network.name: network for network in builtin()}
        if name not in plain:
            raise
        found = plain[name]
    return document(found, names.of(context.daemon))


def document(network: Network, container_names: dict[str, str]) -> Json:
    """Docker's document of a network."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(ns(network.created_at)),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": network.ipv6,
        "IPAM": {"Driver": "default", "Options": None, "Config": [_subnet(item) for item in network.subnets]},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            endpoint.container: _endpoint(endpoint, container_names.get(endpoint.container, endpoint.container))
            for endpoint in network.endpoints
        },
        "Options": dict(network.options),
        "Labels": dict(network.labels),
    }


def _subnet(subnet: Any) -> Json:
    result = {"Subnet": subnet.cidr, "IPRange": subnet.ip_range, "Gateway": subnet.gateway}
    shown: Json = {key: value for key, value in result.items() if value}
    if subnet.aux_addresses:
        shown["AuxiliaryAddresses"] = dict(subnet.aux_addresses)
    return shown


def _endpoint(endpoint: Endpoint, name: str) -> Json:
    return {
        "Name": name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.ipv4}/{endpoint.ipv4_prefix}" if endpoint.ipv4 else "",
        "IPv6Address": f"{endpoint.ipv6}/{endpoint.ipv6_prefix}" if endpoint.ipv6 else "",
    }
