"""Which addresses: subnets for networks, addresses for endpoints. Decisions only; what is taken is told by the caller.

Addresses are handed out one after the other and start over at the end, so that one that was just released rests as long
as the subnet allows: neighbours forget it, late packets find nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from pycontainerd.core.network import Subnet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

IpNetwork = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}\Z")
_LONGEST = {4: 30, 6: 126}
"""Longest prefixes that leave room for a gateway and one container."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A range of addresses, cut into subnets of ``size`` bits for networks that name none."""

    base: str
    size: int


DEFAULT_POOLS = (Pool("172.28.0.0/15", 20), Pool("10.208.0.0/12", 20))


def check_pools(pools: Iterable[Pool]) -> None:
    """Raises InvalidArgument for a pool that cannot be cut as it says."""
    for pool in pools:
        base = parse_network(pool.base, "address pool")
        if not base.prefixlen <= pool.size <= _LONGEST[base.version]:
            raise InvalidArgument("address pool", pool.base, f"cannot be cut into subnets of /{pool.size}")


def local_pool(seed: str) -> Pool:
    """A pool of unique local IPv6 addresses (RFC 4193) that is this installation's own."""
    digest = sha256(f"pycontainerd ula {seed}".encode()).digest()
    prefix = IPv6Address(b"\xfd" + digest[:5] + bytes(10))
    return Pool(f"{prefix}/48", 64)


def parse_network(text: str, what: str = "subnet") -> IpNetwork:
    """Raises InvalidArgument for what is no network, or has bits set behind its prefix."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(what, text, "want an address and a prefix length, such as 172.20.0.0/16") from None
    if "/" not in text:
        raise InvalidArgument(what, text, "the prefix length is missing, such as in 172.20.0.0/16")
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        raise InvalidArgument(what, text, f"has bits set behind the prefix; write {network}")
    return network


def parse_address(text: str, what: str = "address", version: int = 0) -> IpAddress:
    """Raises InvalidArgument; ``version`` 4 or 6 asks for that family."""
    family = {4: "an IPv4", 6: "an IPv6"}.get(version, "an IP")
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidArgument(what, text, f"is not {family} address") from None
    if version and address.version != version:
        raise InvalidArgument(what, text, f"is not {family} address")
    return address


def parse_mac(text: str) -> str:
    """A unicast MAC in lower case with colons. Raises InvalidArgument."""
    mac = text.lower().replace("-", ":")
    if not _MAC.match(mac) or mac == "00:00:00:00:00:00":
        raise InvalidArgument("MAC address", text, "want six pairs of hex digits, such as 02:42:ac:1e:00:02")
    if int(mac[:2], 16) & 1:
        raise InvalidArgument("MAC address", text, "is a multicast address: make the first pair even")
    return mac


def mac_for(address: str) -> str:
    """The MAC of an endpoint that names none: made from its address, so that no neighbour ever holds a stale one."""
    parsed = ip_address(address)
    tail = parsed.packed if parsed.version == 4 else sha256(parsed.packed).digest()[:4]
    return "02:42:" + ":".join(f"{byte:02x}" for byte in tail)


# Subnets


def check_subnet(subnet: Subnet) -> Subnet:
    """The subnet in canonical form, its gateway filled in. Raises InvalidArgument naming what does not fit."""
    network = parse_network(subnet.cidr)
    if network.prefixlen > _LONGEST[network.version]:
        longest = _LONGEST[network.version]
        raise InvalidArgument("subnet", subnet.cidr, f"is too small for a gateway and a container; use /{longest}")
    if network.is_multicast or network.is_loopback:
        raise InvalidArgument("subnet", subnet.cidr, "is not for hosts; take one from 10.0.0.0/8 or 172.16.0.0/12")
    pool = _range(subnet.range, network)
    aux = {name: str(_inside(value, network, f"auxiliary address {name}")) for name, value in subnet.aux.items()}
    gateway = str(_inside(subnet.gateway.partition("/")[0], network, "gateway")) if subnet.gateway else ""
    if gateway and gateway in aux.values():
        raise InvalidArgument("gateway", gateway, "is an auxiliary address as well")
    if not gateway:
        held = {ip_address(value) for value in aux.values()}
        gateway = str(next(address for address in hosts(network) if address not in held))
    return Subnet(str(network), gateway, str(pool) if subnet.range else "", aux)


def _range(text: str, network: IpNetwork) -> IpNetwork:
    if not text:
        return network
    pool = parse_network(text, "ip range")
    if pool.version != network.version or not pool.subnet_of(network):  # type: ignore[arg-type]  # same version
        raise InvalidArgument("ip range", text, f"is not within the subnet {network}")
    return pool


def _inside(text: str, network: IpNetwork, what: str) -> IpAddress:
    address = parse_address(text, what, network.version)
    if address not in network:
        raise InvalidArgument(what, text, f"is not within the subnet {network}")
    if _unusable(address, network):
        raise InvalidArgument(what, text, f"is the network or broadcast address of {network}")
    return address


def _unusable(address: IpAddress, network: IpNetwork) -> bool:
    if address == network.network_address:
        return True
    return network.version == 4 and address == network.broadcast_address


def hosts(network: IpNetwork) -> Iterator[IpAddress]:
    """The addresses that hosts can have, lowest first, lazily."""
    return iter(network.hosts())


def overlap(cidr: str, taken: Iterable[str]) -> str:
    """The first of ``taken`` that shares addresses with ``cidr``, "" for none."""
    network = ip_network(cidr)
    for other in taken:
        found = ip_network(other)
        if found.version == network.version and found.overlaps(network):
            return other
    return ""


def choose_subnet(pools: Sequence[Pool], taken: Iterable[str], version: int = 4) -> str:
    """The first subnet of the pools that shares nothing with ``taken``. Raises ResourceExhausted."""
    held = sorted(_span(network) for network in map(ip_network, taken) if network.version == version)
    for pool in pools:
        base = ip_network(pool.base)
        if base.version == version and (found := _first_free(base, pool.size, held)):
            return found
    bases = ", ".join(f"{pool.base} by /{pool.size}" for pool in pools)
    raise ResourceExhausted(
        "no free subnet is left in the address pools", bases, "remove unused networks, or name one with --subnet"
    )


def _span(network: IpNetwork) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


def _first_free(base: IpNetwork, size: int, held: Sequence[tuple[int, int]]) -> str:
    step = 1 << (base.max_prefixlen - size)
    start, last = _span(base)
    for low, high in held:
        if high < start:
            continue
        if low >= start + step or start + step - 1 > last:
            break
        start += -(-(high + 1 - start) // step) * step
    if start + step - 1 > last:
        return ""
    return f"{to_text(start, base.version)}/{size}"


# Addresses


def next_address(subnet: Subnet, cursor: int, taken: Callable[[int, int], Iterable[int]]) -> int:
    """The next free address after ``cursor`` (0: from the start) as a number. Raises ResourceExhausted."""
    network = ip_network(subnet.cidr)
    low, high = _span(ip_network(subnet.range) if subnet.range else network)
    first, last = _span(network)
    low = max(low, first + 1)
    high = min(high, last - 1 if network.version == 4 else last)
    reserved = {int(ip_address(value)) for value in (*subnet.aux.values(), subnet.gateway) if value}
    start = cursor + 1 if low <= cursor < high else low
    found = _gap(start, high, reserved, taken)
    if found is None and start > low:
        found = _gap(low, start - 1, reserved, taken)
    if found is None:
        where = subnet.range or subnet.cidr
        raise ResourceExhausted(
            "no free address is left in", where, "remove containers from the network, or make one with a larger subnet"
        )
    return found


def _gap(low: int, high: int, reserved: set[int], taken: Callable[[int, int], Iterable[int]]) -> int | None:
    candidate = low
    for address in taken(low, high):
        while candidate < address and candidate in reserved:
            candidate += 1
        if candidate < address:
            return candidate
        candidate = address + 1
    while candidate <= high and candidate in reserved:
        candidate += 1
    return candidate if candidate <= high else None


def check_wanted(subnet: Subnet, text: str) -> int:
    """An address that was asked for, as a number. Raises InvalidArgument, FailedPrecondition for the gateway's."""
    network = ip_network(subnet.cidr)
    address = _inside(text, network, "IP address")
    if str(address) == subnet.gateway:
        raise FailedPrecondition("IP address", text, "is the network's gateway")
    return int(address)


def to_text(number: int, version: int) -> str:
    """An address as it is written."""
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))
