"""Who is called what, and who is told."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import dnsmessage as dns
from pycontainerd.core.dnsmember import member, names_of, needs_responder
from pycontainerd.core.dnszone import Answer, Zone
from pycontainerd.core.network import Endpoint, Network, Sandbox, SandboxRequest, Subnet

NET = Network("ns", "n1", "my-net", subnets=(Subnet("10.1.0.0/16", "10.1.0.1"), Subnet("fd00::/64", "fd00::1")))
BARE = Network("ns", "n2", "bare", subnets=(Subnet("10.2.0.0/16", "10.2.0.1"),), internal=True)
DEFAULT = Network("ns", "n0", "bridge", subnets=(Subnet("10.0.0.0/16", "10.0.0.1"),))
NETWORKS = {network.id: network for network in (NET, BARE, DEFAULT)}


def box(name: str, *on: tuple[Network, str, str, tuple[str, ...]], **request: Any) -> Sandbox:
    endpoints = tuple(
        Endpoint(f"{name}-{net.id}", "ns", name, net.id, net.name, "eth0", "", ip4, ip6, aliases)
        for net, ip4, ip6, aliases in on
    )
    return Sandbox("ns", name, SandboxRequest(**request), name, endpoints, netns=f"/netns/{name}")


def zone(*boxes: Sandbox) -> Zone:
    made = Zone()
    for item in boxes:
        made.put(item.name, member(item, NETWORKS, "1"))
    return made


def ask(where: Zone, who: str, name: str, kind: int = dns.A) -> Answer | None:
    data = dns.HEADER.pack(1, 0x100, 1, 0, 0, 0) + dns.write_name(dns.to_name(name)) + struct.pack("!HH", kind, dns.IN)
    return where.decide(who, dns.Query(data))


def told(answer: Answer | None) -> list[str]:
    assert answer is not None
    return [str(ip_address(data)) for _, data in answer.records]


def test_each_family_by_itself_and_both_for_any() -> None:
    where = zone(box("web", (NET, "10.1.0.2", "fd00::2", ("www",))))
    assert told(ask(where, "web", "www")) == ["10.1.0.2"]
    assert told(ask(where, "web", "www", dns.AAAA)) == ["fd00::2"]
    assert told(ask(where, "web", "www", dns.ANY)) == ["10.1.0.2", "fd00::2"]
    assert told(ask(where, "web", "www", 16)) == []


def test_names_are_for_those_on_the_network() -> None:
    where = zone(box("web", (NET, "10.1.0.2", "", ())), box("db", (BARE, "10.2.0.2", "", ())))
    assert ask(where, "db", "web") is None
    assert ask(where, "nobody", "web") is None
    assert told(ask(where, "web", "web.MY-net")) == ["10.1.0.2"]


def test_the_first_network_of_the_asker_wins() -> None:
    both = box("both", (BARE, "10.2.0.3", "", ()), (NET, "10.1.0.3", "", ()))
    where = zone(box("a", (NET, "10.1.0.2", "", ("x",))), box("b", (BARE, "10.2.0.2", "", ("x",))), both)
    assert told(ask(where, "both", "x")) == ["10.2.0.2"]
    assert told(ask(where, "both", "x.my-net")) == ["10.1.0.2"]


def test_reverse_names_and_what_nobody_else_knows() -> None:
    where = zone(box("web", (NET, "10.1.0.2", "fd00::2", ())))
    found = ask(where, "web", ip_address("fd00::2").reverse_pointer, dns.PTR)
    assert found is not None
    assert found.records == [(dns.PTR, b"\3web\6my-net\0")]
    unknown = ask(where, "web", ip_address("10.1.0.9").reverse_pointer, dns.PTR)
    assert unknown is not None
    assert unknown.code == dns.NXDOMAIN
    assert ask(where, "web", ip_address("192.0.2.1").reverse_pointer, dns.PTR) is None
    assert ask(where, "web", "example.org", dns.PTR) is None


def test_ndots_keeps_bare_names_at_home() -> None:
    where = zone(box("web", (NET, "10.1.0.2", "", ()), dns_options=("ndots:2",)))
    found = ask(where, "web", "printer")
    assert found is not None
    assert found.code == dns.NXDOMAIN
    assert ask(where, "web", "printer.example") is None
    assert ask(zone(box("web", (NET, "10.1.0.2", "", ()))), "web", "printer") is None


def test_members_say_where_to_ask() -> None:
    free = member(box("a", (NET, "10.1.0.2", "", ()), dns=("192.0.2.53",)), NETWORKS, "1")
    assert (free["forward"], free["servers"]) == (True, ["192.0.2.53"])
    shut = member(box("a", (BARE, "10.2.0.2", "", ())), NETWORKS, "1")
    assert (shut["forward"], shut["servers"]) == (False, None)


def test_the_default_network_has_no_names() -> None:
    alone = box("a", (DEFAULT, "10.0.0.2", "", ("x",)))
    both = box("a", (DEFAULT, "10.0.0.2", "", ("x",)), (NET, "10.1.0.2", "", ()))
    assert not needs_responder(alone, NETWORKS)
    assert needs_responder(both, NETWORKS)
    where = zone(both)
    assert ask(where, "a", "x") is None
    assert told(ask(where, "a", "a")) == ["10.1.0.2"]


def test_what_an_endpoint_is_called() -> None:
    made = box("0123456789abcdef", (NET, "10.1.0.2", "", ("www", "WWW")), hostname="host")
    assert names_of(made, made.endpoints[0]) == ["0123456789abcdef", "www", "0123456789ab", "host"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), max_size=40))
def test_the_index_is_what_the_members_say(steps: list[tuple[int, int, bool]]) -> None:
    where = Zone()
    present: dict[str, str] = {}
    for number, alias, there in steps:
        name = f"m{number}"
        if there:
            where.put(name, member(box(name, (NET, f"10.1.0.{number + 2}", "", (f"a{alias}",))), NETWORKS, "1"))
            present[name] = f"a{alias}"
        else:
            where.drop(name)
            present.pop(name, None)
    where.put("asker", member(box("asker", (NET, "10.1.1.1", "", ())), NETWORKS, "1"))
    for alias in range(3):
        holders = sorted(f"10.1.0.{int(name[1:]) + 2}" for name, held in present.items() if held == f"a{alias}")
        found = ask(where, "asker", f"a{alias}")
        assert (sorted(told(found)) if found is not None else []) == holders
    for name in [*present, "asker"]:
        where.drop(name)
    assert [where._names, where._addresses, where._turns, where.members] == [{}] * 4


def test_equal_names_take_turns() -> None:
    where = zone(*(box(f"m{n}", (NET, f"10.1.0.{n}", "", ("app",))) for n in range(2, 5)))
    firsts = [told(ask(where, "m2", "app"))[0] for _ in range(6)]
    assert firsts == ["10.1.0.2", "10.1.0.3", "10.1.0.4"] * 2


def test_questions_in_pairs_take_turns_too() -> None:
    """Most resolvers ask for IPv4 and IPv6 together: two members must change places nevertheless."""
    where = zone(*(box(f"m{n}", (NET, f"10.1.0.{n}", "", ("app",))) for n in (2, 3)))
    firsts = []
    for _ in range(4):
        firsts.append(told(ask(where, "m2", "app"))[0])
        assert told(ask(where, "m2", "app", dns.AAAA)) == []
    assert firsts == ["10.1.0.2", "10.1.0.3"] * 2
