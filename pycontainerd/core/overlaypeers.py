"""What the hosts of an overlay network tell each other: who they are, whom they know, and which containers they have.

Every exchange goes both ways over one connection, and is signed with a key derived from the network's shared one:

    server → client   nonce (16 bytes)
    client → server   VNI (4), nonce (16), length (4), body, HMAC-SHA256 over "c", both nonces and body (32)
    server → client   length (4), body, HMAC-SHA256 over "s", both nonces and body (32)

A body is a JSON object, see ``Report``. It is signed, not hidden; nonces are fresh each time, so nothing can be
replayed.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

NONCE = 16
SIGNATURE = 32
MAX_BODY = 4 << 20
"""Largest report, in bytes: some ten thousand containers."""
FORGET_AFTER = 600.0
"""Seconds after which a host that was only heard of is forgotten, and any silent host's containers."""


class BadReport(ValueError):
    """Raised for a report that nobody on this network has written."""


@dataclass(frozen=True, slots=True)
class RemoteEndpoint:
    """A container's place on the network, on some host."""

    mac: str
    ip4: str = ""
    ip6: str = ""
    names: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those it has."""
        return tuple(text for text in (self.ip4, self.ip6) if text)


@dataclass(frozen=True, slots=True)
class Report:
    """What one host says. ``ranges`` are the parts of the subnets it hands out."""

    host: str
    peers: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    endpoints: tuple[RemoteEndpoint, ...] = ()


def signing_key(key: str, name: str) -> bytes:
    """The key that reports about a network are signed with."""
    return sha256(b"pycontainerd overlay control\0" + key.encode() + b"\0" + name.encode()).digest()


def sign(key: bytes, side: bytes, nonces: bytes, body: bytes) -> bytes:
    """The signature of a body; ``side`` is ``b"c"`` or ``b"s"``, ``nonces`` the server's and the client's."""
    return hmac.digest(key, side + nonces + body, "sha256")


def verify(key: bytes, side: bytes, nonces: bytes, body: bytes, signature: bytes) -> None:
    """Raises BadReport."""
    if not hmac.compare_digest(sign(key, side, nonces, body), signature):
        raise BadReport("it is signed with another key")


def to_body(report: Report) -> bytes:
    """The report as it travels."""
    endpoints = [[item.mac, item.ip4, item.ip6, list(item.names)] for item in report.endpoints]
    value = {"host": report.host, "peers": report.peers, "ranges": report.ranges, "endpoints": endpoints}
    return json.dumps(value, separators=(",", ":")).encode()


def from_body(body: bytes) -> Report:
    """Raises BadReport for what makes no sense: a signed report can still come from a broken host."""
    try:
        value: dict[str, Any] = json.loads(body)
        endpoints = tuple(
            RemoteEndpoint(_mac(mac), _address(ip4, 4), _address(ip6, 6), tuple(map(str, names)))
            for mac, ip4, ip6, names in value["endpoints"]
        )
        peers = tuple(str(ip_address(peer)) for peer in value["peers"])
        ranges = tuple(str(ip_network(cidr)) for cidr in value["ranges"])
        return Report(str(ip_address(value["host"])), peers, ranges, endpoints)
    except (ValueError, KeyError, TypeError) as error:
        raise BadReport(f"{type(error).__name__}: {error}") from None


def _mac(text: str) -> str:
    octets = bytes.fromhex(text.replace(":", ""))
    if len(octets) != 6 or octets[0] & 1 or not any(octets):
        raise ValueError(f"{text} is no interface's MAC")
    return octets.hex(":")


def _address(text: str, version: int) -> str:
    if not text:
        return ""
    address = ip_address(text)
    if address.version != version:
        raise ValueError(f"{text} is no IPv{version} address")
    return str(address)


@dataclass(slots=True)
class Known:
    """A host as it is known: when it was last heard (seconds on a steady clock, 0 never), and what it said."""

    fixed: bool = False
    heard: float = 0.0
    report: Report | None = None


@dataclass(slots=True)
class Membership:
    """The hosts of one network, as this one knows them."""

    local: str
    ranges: tuple[str, ...] = ()
    hosts: dict[str, Known] = field(default_factory=dict)

    def expect(self, peers: Iterable[str]) -> None:
        """These belong to the network whether they are heard or not."""
        for peer in peers:
            if peer != self.local:
                self.hosts.setdefault(peer, Known()).fixed = True

    def hear(self, report: Report, now: float) -> bool:
        """Take a report in; whether it says anything new. A host that vouches for others makes them known."""
        if report.host == self.local:
            return False
        known = self.hosts.get(report.host)
        new = known is None or known.report is None or known.report != report
        known = self.hosts.setdefault(report.host, Known())
        known.heard, known.report = now, report
        for peer in report.peers:
            if peer != self.local and peer not in self.hosts:
                self.hosts[peer] = Known(heard=now)
                new = True
        return new

    def forget(self, now: float) -> bool:
        """Drop what was silent for too long; whether anything was."""
        late = [host for host, known in self.hosts.items() if known.heard and now - known.heard > FORGET_AFTER]
        for host in late:
            if self.hosts[host].fixed:
                self.hosts[host] = Known(fixed=True)
            else:
                del self.hosts[host]
        return bool(late)

    @property
    def peers(self) -> list[str]:
        """All other hosts."""
        return sorted(self.hosts)

    @property
    def vouched(self) -> tuple[str, ...]:
        """The hosts that were heard: hearsay is not passed on, or nobody would ever be forgotten."""
        return tuple(sorted(host for host, known in self.hosts.items() if known.report is not None))

    def remote(self) -> dict[str, tuple[RemoteEndpoint, ...]]:
        """Containers by host. Addresses outside of a host's own ranges are not believed."""
        found = {}
        for host, known in self.hosts.items():
            if known.report is not None:
                ranges = [ip_network(cidr) for cidr in known.report.ranges]
                found[host] = tuple(
                    item
                    for item in known.report.endpoints
                    if all(any(ip_address(text) in part for part in ranges) for text in item.addresses)
                )
        return found

    def conflicts(self) -> list[str]:
        """Hosts that hand out addresses which this one hands out too, in sentences."""
        mine = [ip_network(cidr) for cidr in self.ranges]
        return [
            f"host {host} hands out {cidr} as well; give each host another --ip-range"
            for host, known in sorted(self.hosts.items())
            for cidr in (known.report.ranges if known.report is not None else ())
            if any(own.version == ip_network(cidr).version and own.overlaps(ip_network(cidr)) for own in mine)
        ]
