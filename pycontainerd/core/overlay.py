"""Overlay networks: one network over several hosts, as VXLAN (RFC 7348) between them. Plans only.

There is no cluster manager. Each host makes the network under the same name with the same subnet and the same options;
a shared ``key`` gives all of them the same VNI, and every host hands out another part of the subnet: the one given with
``--ip-range``, or its share by its place among the ``peers``. Every host has a gateway of its own in its part, so that
containers leave through the host they run on.

    peers   addresses of the other hosts, with commas between: all of them, the same list but for oneself everywhere
    join    in place of peers: addresses of some hosts that are in it already, who know the others; needs --ip-range
    local   this host's address; the one it reaches the first peer from when absent
    key     the shared secret, or @/path of a file that holds it
    vni     1 to 16777215, in place of the key's
    port    the UDP port of VXLAN, 4789
    control the TCP port of the exchange, 4788
    com.docker.network.driver.mtu

Hosts with a key tell each other about their containers (``core.overlaypeers``), over TCP port ``control`` (4788): so
neighbours are found without flooding, and names are known on all hosts.

The key keeps networks apart, it does not hide or sign what they carry: whoever can send to the hosts' VXLAN port can
take part. Encryption (ESP) is not offered; on a network that is not trusted, give addresses of a VPN as peers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.errors import InvalidArgument, Unimplemented
from pycontainerd.core.ipam import parse_address
from pycontainerd.core.network import MTU, Endpoint, Network, Subnet
from pycontainerd.core.network_plan import BridgeDriver
from pycontainerd.core.network_request import check_mtu

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycontainerd.core.network import Op
    from pycontainerd.core.network_plan import Marks

OVERLAY = "overlay"
PORT = 4789
OVERHEAD = {4: 50, 6: 70}
"""What VXLAN adds to a packet, by the version of the address between hosts, in bytes."""
MAX_VNI = (1 << 24) - 1
MAX_PEERS = 256
SHORTEST_KEY = 8
CONTROL = 4788
_OPTIONS = ("peers", "join", "local", "key", "vni", "port", "control", MTU)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Where a network's packets go between hosts."""

    vni: int
    port: int
    local: str
    peers: tuple[str, ...]
    control: int = CONTROL
    key: str = ""

    @property
    def version(self) -> int:
        """Of the addresses between hosts: 4 or 6."""
        return ip_address(self.local).version


def vni_for(key: str, name: str) -> int:
    """The VNI that all hosts derive from the key for a network of this name."""
    digest = sha256(b"pycontainerd overlay\0" + key.encode() + b"\0" + name.encode()).digest()
    return int.from_bytes(digest[:8]) % MAX_VNI + 1


def read_peers(text: str) -> tuple[str, ...]:
    """The option ``peers``. Raises InvalidArgument."""
    found = [str(parse_address(part.strip(), "overlay peer")) for part in text.split(",") if part.strip()]
    if not found:
        hint = "give the other hosts: -o peers=ADDRESS,ADDRESS, or some that are in it: -o join=ADDRESS"
        raise InvalidArgument("overlay network", hint=hint)
    if len(found) > MAX_PEERS:
        raise InvalidArgument("option peers", hint=f"{len(found)} are too many; at most {MAX_PEERS}")
    if len({ip_address(address).version for address in found}) > 1:
        raise InvalidArgument("option peers", text, "mixes IPv4 and IPv6; a tunnel has one of them")
    return tuple(dict.fromkeys(found))


def share(cidr: str, place: int, count: int) -> str:
    """The part of a subnet for the host at a place among ``count``. Raises InvalidArgument when there is too little."""
    network = ip_network(cidr)
    bits = max(count - 1, 0).bit_length()
    if network.prefixlen + bits > network.max_prefixlen - 3:
        raise InvalidArgument("subnet", cidr, f"is too small for {count} hosts; take a larger one or give --ip-range")
    size = 1 << (network.max_prefixlen - network.prefixlen - bits)
    base = int(network.network_address) + place * size
    return str(ip_network((base, network.prefixlen + bits)))


class TunnelHub(Protocol):
    """Who keeps this host in touch with the others."""

    def attach(self, network: Network, tunnel: Tunnel, link: str) -> None:
        """Take part in a network, over the tunnel whose interface is ``link``. Idempotent, and quick."""
        ...

    def detach(self, network: Network) -> None:
        """Leave it. Idempotent."""
        ...


class OverlayDriver:
    """A bridge on each host, and a VXLAN tunnel to the others as one of its ports.

    ``read_key`` gives the contents of a key file, ``route_from`` this host's address towards another; both raise
    OSError.
    """

    name = OVERLAY
    needs_subnets = False

    def __init__(
        self,
        marks: Marks,
        read_key: Callable[[str], str],
        route_from: Callable[[str], str],
        hub: TunnelHub | None = None,
    ) -> None:
        self._marks = marks
        self._bridge = BridgeDriver(marks)
        self._read_key, self._route_from, self._hub = read_key, route_from, hub

    def validate(self, network: Network) -> None:
        """Raises InvalidArgument for options that are missing or make no sense, Unimplemented for encryption."""
        options = network.options
        if "encrypted" in options:
            hint = "use addresses of a VPN as peers where the network between hosts is not trusted"
            raise Unimplemented("encrypted overlay network", network.name, hint)
        for key in options:
            if key not in _OPTIONS:
                raise InvalidArgument("network option", key, f"the overlay driver knows {', '.join(_OPTIONS)}")
        if not network.subnets:
            raise InvalidArgument(
                "overlay network", network.name, "give --subnet, the same on every host: they hand out parts of it"
            )
        if network.options.get(MTU):
            check_mtu(network.options[MTU])
        if options.get("join") and not all(subnet.range for subnet in network.subnets):
            hint = "give --ip-range, another part of the subnet on each host, or all hosts with -o peers="
            raise InvalidArgument("overlay network", network.name, hint)
        self.tunnel(network)

    def complete(self, network: Network) -> Network:
        """The network with its tunnel written down, and this host's share of the subnets. Raises InvalidArgument."""
        tunnel = self.tunnel(network)
        hosts = sorted({tunnel.local, *tunnel.peers}, key=lambda text: ip_address(text).packed)
        place = hosts.index(tunnel.local)
        subnets = tuple(_part(subnet, place, len(hosts)) for subnet in network.subnets)
        return replace(
            network, subnets=subnets, options={**network.options, "vni": str(tunnel.vni), "local": tunnel.local}
        )

    def tunnel(self, network: Network) -> Tunnel:
        """What the options say. Raises InvalidArgument."""
        options = network.options
        peers = read_peers(",".join(filter(None, (options.get("peers"), options.get("join")))))
        local = options.get("local", "")
        if not local:
            try:
                local = self._route_from(peers[0])
            except OSError as error:
                hint = f"there is no way to {peers[0]} ({error.strerror}); give -o local=ADDRESS"
                raise InvalidArgument("overlay network", network.name, hint) from None
        local = str(parse_address(local, "option local", ip_address(peers[0]).version))
        others = tuple(peer for peer in peers if peer != local)
        port, control = _port(options, "port", PORT), _port(options, "control", CONTROL)
        key = self._key(network)
        return Tunnel(self._vni(network, key), port, local, others, control, key)

    def _key(self, network: Network) -> str:
        key = network.options.get("key", "")
        if key.startswith("@"):
            try:
                key = self._read_key(key[1:]).strip()
            except OSError as error:
                raise InvalidArgument("key file", network.options["key"][1:], error.strerror or "unreadable") from None
        return key

    def _vni(self, network: Network, key: str) -> int:
        vni = network.options.get("vni", "")
        if vni:
            if not vni.isdigit() or not 0 < int(vni) <= MAX_VNI:
                raise InvalidArgument("option vni", vni, f"want 1 to {MAX_VNI}")
            return int(vni)
        if len(key) < SHORTEST_KEY:
            hint = f"give -o key=SECRET of {SHORTEST_KEY} characters or more, the same on every host"
            raise InvalidArgument("overlay network", network.name, hint)
        return vni_for(key, network.name)

    def link(self, network: Network) -> str:
        """The bridge's name, made from the network's id."""
        return self._bridge.link(network)

    def tunnel_link(self, network: Network) -> str:
        """The name of the tunnel's interface."""
        return f"pcx-{network.id[:10]}"

    def network_up(self, network: Network) -> Sequence[Op]:
        """The bridge, and the tunnel on it."""
        tunnel = self.tunnel(network)
        if self._hub is not None and network.created_at is not None:
            self._hub.attach(network, tunnel, self.tunnel_link(network))
        bridge, *forwarding = self._bridge.network_up(network)
        vxlan: Op = {
            "op": "vxlan",
            "name": self.tunnel_link(network),
            "alias": self._marks.network(network.id) + "/tunnel",
            "master": network.link,
            "vni": tunnel.vni,
            "port": tunnel.port,
            "local": tunnel.local,
            "peers": list(tunnel.peers),
        }
        return [{**bridge, "overhead": OVERHEAD[tunnel.version]}, vxlan, *forwarding]

    def network_down(self, network: Network) -> Sequence[Op]:
        """The tunnel goes, then the bridge."""
        alias = self._marks.network(network.id) + "/tunnel"
        if self._hub is not None:
            self._hub.detach(network)
        return [
            {"op": "unlink", "name": self.tunnel_link(network), "alias": alias},
            *self._bridge.network_down(network),
        ]

    def endpoint_up(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """As on a bridge."""
        return self._bridge.endpoint_up(network, endpoint, netns)

    def endpoint_down(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """As on a bridge."""
        return self._bridge.endpoint_down(network, endpoint, netns)

    def endpoint_end(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """As on a bridge."""
        return self._bridge.endpoint_end(network, endpoint, netns)


def _port(options: Mapping[str, str], name: str, default: int) -> int:
    port = options.get(name, "") or str(default)
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidArgument(f"option {name}", port, "want 1 to 65535")
    return int(port)


def _part(subnet: Subnet, place: int, count: int) -> Subnet:
    """A host's share of a subnet; a gateway outside of it (the subnet's first address, mostly) moves into it."""
    own = ip_network(subnet.range or share(subnet.cidr, place, count))
    gateway = ip_address(subnet.gateway)
    if gateway not in own:
        taken = {ip_address(address) for address in subnet.aux.values()}
        whole = ip_network(subnet.cidr).network_address
        gateway = next(address for address in own if address != whole and address not in taken)
    return replace(subnet, range=str(own), gateway=str(gateway))
