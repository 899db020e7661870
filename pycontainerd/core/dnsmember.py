"""What the DNS responder is told of a sandbox (``core.dnszone`` says how it looks), and who needs a responder. Pure."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from pycontainerd.core.dnsresolv import ResolvConf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.core.network import Endpoint, Network, Sandbox

SHORT_ID = 12


def needs_responder(sandbox: Sandbox, networks: Mapping[str, Network]) -> bool:
    """Whether a sandbox is on a user-defined network: on the default one there are no names, as with Docker."""
    return any(not network.default for network in _networks(sandbox, networks))


def _networks(sandbox: Sandbox, networks: Mapping[str, Network]) -> list[Network]:
    return [networks[endpoint.network] for endpoint in sandbox.endpoints if endpoint.network in networks]


def member(sandbox: Sandbox, networks: Mapping[str, Network], life: str) -> dict[str, Any]:
    """A sandbox as the responder knows it; ``networks`` are those it is on, by id, ``life`` as in ``core.dnszone``."""
    request = sandbox.request
    outward = any(not network.internal for network in _networks(sandbox, networks))
    return {
        "life": life,
        "netns": sandbox.netns,
        "servers": list(request.dns) or None,
        "forward": outward,
        "ndots": ResolvConf(options=request.dns_options).number("ndots", 0, 15),
        "networks": [
            _entry(sandbox, endpoint, networks[endpoint.network])
            for endpoint in sandbox.endpoints
            if endpoint.network in networks and not networks[endpoint.network].default
        ],
    }


def remote_member(network: Network, names: Sequence[str], addresses: Sequence[str]) -> dict[str, Any]:
    """A container of another host on one of our networks: somebody with names, who asks nothing here."""
    entry = {
        "id": network.id,
        "name": network.name,
        "names": list(names),
        "addresses": [ip_address(text).packed.hex() for text in addresses],
        "subnets": [],
    }
    return {"life": "", "netns": "", "servers": None, "forward": False, "ndots": 0, "networks": [entry]}


def _entry(sandbox: Sandbox, endpoint: Endpoint, network: Network) -> dict[str, Any]:
    addresses = [ip_address(text).packed.hex() for text in (endpoint.ip4, endpoint.ip6) if text]
    cidrs = [ip_network(subnet.cidr) for subnet in network.subnets]
    return {
        "id": network.id,
        "name": network.name,
        "names": names_of(sandbox, endpoint),
        "addresses": addresses,
        "subnets": [[cidr.network_address.packed.hex(), cidr.prefixlen] for cidr in cidrs],
    }


def names_of(sandbox: Sandbox, endpoint: Endpoint) -> list[str]:
    """What an endpoint is called on its network, as with Docker: name, aliases, short id, host name; no name twice."""
    names = [sandbox.name or sandbox.container, *endpoint.aliases, sandbox.container[:SHORT_ID]]
    if sandbox.request.hostname:
        names.append(sandbox.request.hostname)
    return list(dict.fromkeys(name.lower() for name in names if name))
