"""Who is called what: the names that containers on the same network know each other by. Pure.

A *member* is one sandbox as the responder sees it, a plain object (JSON) that the daemon makes with ``core.dnsmember``:

    {"life": text,                        which of its network namespaces this is
     "netns": path,                       where its own servers are asked from
     "servers": [address, …] or null,     its own servers; null: the host's, as they are at the time
     "forward": bool,                     whether the host's servers are asked for it (not without a way out)
     "ndots": n,                          names with fewer dots that nobody here has are not passed on
     "networks": [{"id", "name", "names": [name, …], "addresses": [hex, …], "subnets": [[prefix hex, bits], …]}, …]}

A name is known as it is and with the network's name behind a dot, to those on that network. Equal names of several
members take turns. Loaded by the DNS responder: no imports but the cheapest.
"""

from __future__ import annotations

from pycontainerd.core import dnsmessage as dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Member = dict[str, Any]
    Records = list[tuple[int, bytes]]

TTL = 10
"""Seconds an answer may be kept. Short, because containers come and go, and answers cost nothing."""


class Answer:
    """What to tell a client: a code and records of the name it asked for."""

    __slots__ = ("code", "records")

    def __init__(self, code: int, records: Records | None = None) -> None:
        self.code, self.records = code, records or []


class Zone:
    """All members, indexed by network."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._names: dict[tuple[str, str], dict[str, list[bytes]]] = {}
        self._addresses: dict[tuple[str, bytes], dict[str, str]] = {}
        self._turns: dict[tuple[str, str], dict[int, int]] = {}

    def put(self, key: str, member: Member) -> None:
        """Add a member or replace it. Raises KeyError, TypeError, ValueError for one that is not as it should be."""
        entries = [_entry(network) for network in member["networks"]]
        self.drop(key)
        self.members[key] = member
        for net, network, names, addresses in entries:
            for name in names:
                self._names.setdefault((net, name), {})[key] = addresses
            for address in addresses:
                self._addresses.setdefault((net, address), {})[key] = f"{names[0]}.{network}" if names else ""

    def drop(self, key: str) -> None:
        """Forget a member, if it is there."""
        member = self.members.pop(key, None)
        if member is None:
            return
        for net, _, names, addresses in map(_entry, member["networks"]):
            for name in names:
                if _leave(self._names, (net, name), key):
                    self._turns.pop((net, name), None)
            for address in addresses:
                _leave(self._addresses, (net, address), key)

    def decide(self, key: str, query: dns.Query) -> Answer | None:
        """The answer to a member's question; None to pass it on."""
        member = self.members.get(key)
        if member is None or query.klass != dns.IN:
            return None
        name = dns.folded(query.name)
        if query.kind == dns.PTR:
            return self._reverse(member, name)
        found = self._lookup(member, name, query.kind)
        if found is not None:
            records = dns.addresses_rdata(found)
            return Answer(dns.NOERROR, [record for record in records if query.kind in {record[0], dns.ANY}])
        if "." not in name and member["ndots"] > 0 and query.kind in {dns.A, dns.AAAA}:
            return Answer(dns.NXDOMAIN)
        return None

    def _lookup(self, member: Member, name: str, kind: int) -> list[bytes] | None:
        """The addresses of a name, each member's together, and another member's first each time.

        Each kind of question has turns of its own: resolvers ask for A and AAAA in pairs, and with turns in common two
        members would never change places.
        """
        for network in member["networks"]:
            net, suffix = network["id"], f".{network['name'].lower()}"
            scoped = name[: -len(suffix)] if name.endswith(suffix) else ""
            for candidate in (name, scoped):
                holders = self._names.get((net, candidate)) if candidate else None
                if holders:
                    turns = self._turns.setdefault((net, candidate), {})
                    kind = kind if kind in (dns.A, dns.AAAA) else dns.ANY
                    turn = turns.get(kind, 0)
                    turns[kind] = turn + 1 if turn < 1 << 30 else 0
                    groups = list(holders.values())
                    start = turn % len(groups)
                    return [address for group in groups[start:] + groups[:start] for address in group]
        return None

    def _reverse(self, member: Member, name: str) -> Answer | None:
        """Names of addresses on the member's networks; for what is not there nobody outside knows better."""
        address = dns.reversed_address(name)
        if address is None:
            return None
        for network in member["networks"]:
            holders = self._addresses.get((network["id"], address))
            if holders:
                return Answer(dns.NOERROR, [(dns.PTR, dns.write_name(dns.to_name(next(iter(holders.values())))))])
        if any(_inside(address, prefix, bits) for network in member["networks"] for prefix, bits in network["subnets"]):
            return Answer(dns.NXDOMAIN)
        return None


def _entry(network: dict[str, Any]) -> tuple[str, str, list[str], list[bytes]]:
    names = [name.lower() for name in network["names"]]
    return network["id"], network["name"], names, [bytes.fromhex(item) for item in network["addresses"]]


def _leave(index: dict[Any, dict[str, Any]], place: Any, key: str) -> bool:
    """Take a member out of an index; whether that was the last of its place."""
    holders = index.get(place)
    if holders is None:
        return False
    holders.pop(key, None)
    if not holders:
        del index[place]
    return not holders


def _inside(address: bytes, prefix: str, bits: int) -> bool:
    base = bytes.fromhex(prefix)
    if len(base) != len(address):
        return False
    shift = len(base) * 8 - bits
    return int.from_bytes(address) >> shift == int.from_bytes(base) >> shift
