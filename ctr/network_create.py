"""``pyctr network create``."""

from __future__ import annotations

import sys

from ctr.errors import Failure, UsageError
from ctr.flags import BOOL, LIST, STRING, Command, flag
from pycontainerd.client import networks
from pycontainerd.wire.messages.networks import CreateNetworkRequest, Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context
    from ctr.flags import Values

COMMAND = Command(
    "network create",
    "[OPTIONS] NETWORK",
    "Create a network",
    (
        flag("attachable", "", BOOL, "Any container may join (always so here)"),
        flag("aux-address", "", LIST, "Addresses that no container gets (name=address)", metavar="map"),
        flag("config-from", "", STRING, "Network to copy the configuration from: not offered"),
        flag("config-only", "", BOOL, "Create a configuration only network: not offered"),
        flag("driver", "d", STRING, "Driver to manage the network", default="bridge"),
        flag("gateway", "", LIST, "Gateway of a subnet"),
        flag("ingress", "", BOOL, "Create a swarm's ingress network: not offered"),
        flag("internal", "", BOOL, "Restrict external access to the network"),
        flag("ip-range", "", LIST, "Give containers addresses of this part of the subnet"),
        flag(
            "ipam-driver", "", STRING, "IP address management driver (default is the one there is)", default="default"
        ),
        flag("ipam-opt", "", LIST, "Options of the address management driver: not offered", metavar="map"),
        flag("ipv4", "", BOOL, "Enable IPv4 networking (always so here)", default="true"),
        flag("ipv6", "", BOOL, "Enable IPv6 networking"),
        flag("label", "", LIST, "Set metadata on a network"),
        flag("opt", "o", LIST, "Set driver specific options", metavar="map"),
        flag("scope", "", STRING, "Scope of the network (local is the one there is)", default="local"),
        flag("subnet", "", LIST, "Subnet in CIDR form (one of each address family)"),
    ),
    least=1,
    most=1,
    example="pyctr network create --subnet 10.5.0.0/24 back",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Prints the id; exit code 0."""
    _refuse(values)
    request = CreateNetworkRequest(
        name=arguments[0],
        driver=values.text("driver"),
        subnets=subnets(values),
        options=_pairs(values.items("opt")),
        labels=_pairs(values.items("label")),
        internal=values.on("internal"),
        ipv6=values.on("ipv6"),
    )
    made = networks.create(context.daemon, request)
    print(made.id)
    for warning in made.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    return 0


def _refuse(values: Values) -> None:
    """Raises Failure for what is known from Docker and that nothing here carries out."""
    for name, allowed, hint in _ONLY:
        if values.given(name) and values.text(name) not in allowed:
            raise Failure(f"--{name} {values.text(name)} is not offered", hint)


_ONLY = (
    ("config-from", ("",), "give the options of that network again"),
    ("config-only", ("false",), "a network is made with its options"),
    ("ingress", ("false",), "it belongs to a swarm: publish ports with -p instead"),
    ("ipam-driver", ("", "default"), "default is the one there is: see --subnet and --ip-range"),
    ("ipam-opt", (), "the driver default has no options"),
    ("ipv4", ("true",), "every network with addresses has IPv4"),
    ("scope", ("", "local"), "networks over several hosts have the driver overlay: see --driver"),
)


def _pairs(items: list[str]) -> dict[str, str]:
    return {item.partition("=")[0]: item.partition("=")[2] for item in items}


def subnets(values: Values) -> list[Subnet]:
    """Subnets with the gateways, ranges and addresses that lie in them. Raises UsageError for one that lies in none."""
    from ipaddress import ip_address, ip_network

    try:
        found = [(ip_network(text, strict=False), Subnet(cidr=text)) for text in values.items("subnet")]
        places = [(ip_address(text), "gateway", text) for text in values.items("gateway")]
        places += [(ip_network(text, strict=False)[0], "ip_range", text) for text in values.items("ip-range")]
        for item in values.items("aux-address"):
            places.append((ip_address(item.partition("=")[2]), "aux_addresses", item))
    except ValueError as error:
        raise UsageError(str(error), "subnets and ranges look like 10.5.0.0/24, addresses like 10.5.0.1") from error
    for place, field, text in places:
        holder = next((subnet for net, subnet in found if place.version == net.version and place in net), None)
        if holder is None:
            name = field.replace("_", "-").removesuffix("es")
            raise UsageError(f"no matching subnet for {name} {text}", "give --subnet, too")
        if field == "aux_addresses":
            holder.aux_addresses[text.partition("=")[0]] = text.partition("=")[2]
        else:
            setattr(holder, field, text)
    return [subnet for _, subnet in found]
