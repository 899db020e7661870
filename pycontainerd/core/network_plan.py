"""Plans: from what the rows say to the steps that make it so. No I/O: the agent runs the steps, and may run them twice.

The bridge driver is here; other drivers are ``core.network.NetworkDriver`` too. A step names links of the host by name
and alias: only a link that carries the alias of this installation is ever changed or deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pycontainerd.core.network import BRIDGE_HOST_BINDING, BRIDGE_NAME, with_prefix
from pycontainerd.core.network_request import check_bridge_options
from pycontainerd.core.network_rules import needs_localnet
from pycontainerd.core.ports import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycontainerd.core.network import Endpoint, Network, Op, PortRequest, Sandbox

BRIDGE = "bridge"
LINK_PREFIX = "pcbr"
"""The default network's bridge is this and a number; others have the beginning of their network's id behind it."""
FORWARD4 = "net/ipv4/ip_forward"


@dataclass(frozen=True, slots=True)
class Marks:
    """How this installation's links are told from everybody else's: by their alias."""

    tag: str

    @property
    def prefix(self) -> str:
        """What every alias of ours begins with."""
        return f"pycontainerd:{self.tag}:"

    def network(self, id: str) -> str:
        """The alias of a network's link."""
        return f"{self.prefix}network:{id}"

    def endpoint(self, id: str) -> str:
        """The alias of an endpoint's link on the host."""
        return f"{self.prefix}endpoint:{id}"


class BridgeDriver:
    """Docker's bridge networks: a bridge of the host with the gateways' addresses, and a veth pair an endpoint."""

    name = BRIDGE
    needs_subnets = True

    def __init__(self, marks: Marks) -> None:
        self._marks = marks

    def validate(self, network: Network) -> None:
        """Raises InvalidArgument for options the driver does not have."""
        check_bridge_options(network.options)

    def complete(self, network: Network) -> Network:
        """As it is."""
        return network

    def link(self, network: Network) -> str:
        """The bridge's name: chosen by the user, or made from the network's id."""
        return network.options.get(BRIDGE_NAME) or f"{LINK_PREFIX}-{network.id[:10]}"

    def network_up(self, network: Network) -> Sequence[Op]:
        """The bridge, its addresses, and forwarding on the host."""
        bridge: Op = {
            "op": "bridge",
            "name": network.link,
            "alias": self._marks.network(network.id),
            "mtu": network.mtu,
            "addresses": [with_prefix(subnet.gateway, subnet.cidr) for subnet in network.subnets if subnet.gateway],
            "ipv6": network.ipv6,
        }
        if network.internal:
            return [bridge]
        forward: list[Op] = [{"op": "sysctl", "key": FORWARD4, "value": "1"}]
        if network.ipv6:
            forward.append({"op": "forward6"})
        return [bridge, *forward]

    def network_down(self, network: Network) -> Sequence[Op]:
        """The bridge goes."""
        return [{"op": "unlink", "name": network.link, "alias": self._marks.network(network.id)}]

    def endpoint_up(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """The pair, one end on the bridge, the other inside with its addresses."""
        return [
            {
                "op": "veth",
                "netns": netns,
                "name": endpoint.link,
                "alias": self._marks.endpoint(endpoint.id),
                "master": network.link,
                "isolated": not network.icc,
                "interface": endpoint.interface,
                "mac": endpoint.mac,
                "mtu": network.mtu,
                "addresses": addresses(network, endpoint),
            }
        ]

    def endpoint_down(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """Deleting one end takes the other along."""
        return [{"op": "unlink", "name": endpoint.link, "alias": self._marks.endpoint(endpoint.id)}]

    def endpoint_end(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """Nothing: the pair goes with the namespace."""
        return ()


def addresses(network: Network, endpoint: Endpoint) -> list[str]:
    """An endpoint's addresses with their prefix lengths."""
    found = []
    for version, address in ((4, endpoint.ip4), (6, endpoint.ip6)):
        subnet = network.subnet(version)
        if address and subnet is not None:
            found.append(with_prefix(address, subnet.cidr))
    return found


def way_out(endpoints: Iterable[Endpoint], networks: Mapping[str, Network], version: int) -> Endpoint | None:
    """The endpoint through which a sandbox reaches the world: the first on a network with a gateway for the family."""
    for endpoint in endpoints:
        network = networks.get(endpoint.network)
        address = endpoint.ip4 if version == 4 else endpoint.ip6
        if network is not None and address and not network.internal and network.gateway(version):
            return endpoint
    return None


def route_op(netns: str, endpoints: Sequence[Endpoint], networks: Mapping[str, Network], *, fresh: bool = False) -> Op:
    """The default routes of a sandbox, in place of those it has; none where it has no way out."""
    routes = {}
    for version in (4, 6):
        endpoint = way_out(endpoints, networks, version)
        if endpoint is not None:
            routes[str(version)] = [networks[endpoint.network].gateway(version), endpoint.interface]
    # Drivers that leave addresses to others leave routes to them too: these go only where one of ours comes in.
    foreign = any(not networks[endpoint.network].subnets for endpoint in endpoints)
    return {"op": "routes", "netns": netns, "defaults": routes, "fresh": fresh and not foreign, "foreign": foreign}


def port_target(endpoints: Sequence[Endpoint], networks: Mapping[str, Network]) -> Target:
    """Where a sandbox's published ports lead: the addresses of its ways out that are on bridges."""
    found = {4: "", 6: ""}
    for version in (4, 6):
        endpoint = way_out(endpoints, networks, version)
        if endpoint is not None and networks[endpoint.network].link:
            found[version] = endpoint.ip4 if version == 4 else endpoint.ip6
    return Target(found[4], found[6])


def on_bound_addresses(
    requests: Sequence[PortRequest], endpoints: Sequence[Endpoint], networks: Mapping[str, Network]
) -> list[PortRequest]:
    """Requests that name no address of the host get the one that the network they lead to says, if it does."""
    endpoint = way_out(endpoints, networks, 4)
    address = networks[endpoint.network].options.get(BRIDGE_HOST_BINDING, "") if endpoint is not None else ""
    return [replace(request, host_ip=request.host_ip or address) for request in requests]


def publish_ops(sandbox: Sandbox, networks: Mapping[str, Network]) -> list[Op]:
    """What published ports need of the bridges: ways from 127.0.0.1 of the host, and from the container itself."""
    if not sandbox.ports:
        return []
    ops: list[Op] = []
    for endpoint in sandbox.endpoints:
        network = networks[endpoint.network]
        if network.link and endpoint.link:
            ops.append({"op": "hairpin", "name": endpoint.link})
            if needs_localnet(sandbox.ports):
                ops.append({"op": "localnet", "name": network.link})
    return ops


def close_op(sandbox: Sandbox, marks: Marks) -> Op:
    """The end of a sandbox's namespace; its links go with it, unless somebody else keeps the namespace alive."""
    links = [{"name": item.link, "alias": marks.endpoint(item.id)} for item in sandbox.endpoints if item.link]
    return {"op": "netns.delete", "path": sandbox.netns, "links": links}
