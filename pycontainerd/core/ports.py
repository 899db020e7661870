"""Ports to publish: which host sockets hold them, and which container address each leads to. No I/O.

A port that is published on every address is held on ``0.0.0.0`` and on ``[::]``. Packets for it are translated by the
kernel; only what cannot be translated (IPv6 to a container without it, and ``::1``) is served by the port keeper.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pycontainerd.core.network import PortRequest, PublishedPort

PROTOCOLS = ("tcp", "udp")
ANY4 = "0.0.0.0"
ANY6 = "::"
LOOPBACK6 = "::1"


@dataclass(frozen=True, slots=True)
class HostSocket:
    """A socket that holds a port. With ``target`` (address, port) it listens and passes connections on."""

    proto: str
    address: str
    port: int
    target: tuple[str, int] | None = None

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_address(self.address).version


@dataclass(frozen=True, slots=True)
class Target:
    """Where a sandbox's ports lead: its address of each family, "" for none."""

    ip4: str = ""
    ip6: str = ""


def check_port(request: PortRequest) -> PortRequest:
    """The request itself. Raises InvalidArgument naming what is wrong."""
    if request.proto not in PROTOCOLS:
        hint = "sctp cannot be published" if request.proto == "sctp" else "want tcp or udp"
        raise InvalidArgument("protocol of a published port", request.proto, hint)
    if not 1 <= request.container_port <= 65535:
        raise InvalidArgument("container port", request.container_port, "want 1 to 65535")
    if not 0 <= request.host_port <= 65535 or not 0 <= request.host_port_end <= 65535:
        raise InvalidArgument("host port", request.host_port, "want 1 to 65535, or 0 for any")
    if request.host_port_end and request.host_port_end < request.host_port:
        raise InvalidArgument(
            "host port range", f"{request.host_port}-{request.host_port_end}", "ends before it starts"
        )
    if request.host_ip:
        address = _address(request.host_ip)
        if address.is_multicast:
            raise InvalidArgument("host address", request.host_ip, "is a multicast address")
    return request


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidArgument("host address", text, "is not an IP address") from None


def candidates(request: PortRequest) -> range:
    """The host ports to try, in order; an empty range asks the kernel for a free one."""
    if not request.host_port:
        return range(0)
    return range(request.host_port, max(request.host_port, request.host_port_end) + 1)


def sockets_for(port: PublishedPort, target: Target) -> Iterator[HostSocket]:
    """The sockets that hold a published port, those that need not succeed (IPv6 on any address) last."""
    through = (target.ip4 or target.ip6, port.container_port)
    if port.host_ip:
        version = ip_address(port.host_ip).version
        translated = target.ip4 if version == 4 else target.ip6 and port.host_ip not in {ANY6, LOOPBACK6}
        listens = port.proto == "tcp" and not translated
        yield HostSocket(port.proto, port.host_ip, port.host_port, through if listens else None)
        return
    yield HostSocket(port.proto, ANY4, port.host_port, through if port.proto == "tcp" and not target.ip4 else None)
    if port.proto == "tcp":
        yield HostSocket("tcp", ANY6, port.host_port, through)
    elif target.ip6:
        yield HostSocket("udp", ANY6, port.host_port)


def repeated(ports: Sequence[PortRequest]) -> PortRequest | None:
    """The first request that says the same as an earlier one."""
    seen: set[PortRequest] = set()
    for port in ports:
        if port in seen and port.host_port:
            return port
        seen.add(port)
    return None


def holder_of(port: PublishedPort, others: Iterable[tuple[str, PublishedPort]]) -> str:
    """Who, of (name, port) pairs, holds a port that collides with this one; "" for nobody."""
    for name, other in others:
        same = other.proto == port.proto and other.host_port == port.host_port
        if same and _meet(port.host_ip, other.host_ip):
            return name
    return ""


def _meet(one: str, other: str) -> bool:
    """Whether two host addresses have an address in common."""
    if not one or not other or one == other:
        return True
    return ip_address(one).version == ip_address(other).version and not {one, other}.isdisjoint({ANY4, ANY6})


def display(port: PublishedPort) -> str:
    """A port as users write it: ``0.0.0.0:8080/tcp``."""
    address = port.host_ip or ANY4
    return f"{f'[{address}]' if ':' in address else address}:{port.host_port}/{port.proto}"
