"""What containers read about themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import dnsresolv, hostfiles
from pycontainerd.core.dnsrequest import check_dns, parse_extra_host
from pycontainerd.core.dnsresolv import ResolvConf
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.network import Endpoint, Network, Sandbox, SandboxRequest, Subnet

ID = "0123456789abcdef"
NET = Network("ns", "n1", "my-net", subnets=(Subnet("10.1.0.0/16", "10.1.0.1"), Subnet("fd00::/64", "fd00::1")))
BARE = Network("ns", "n2", "bare", subnets=(Subnet("10.2.0.0/16", "10.2.0.1"),), internal=True)
DEFAULT = Network("ns", "n0", "bridge", subnets=(Subnet("10.0.0.0/16", "10.0.0.1"),))
NETWORKS = {network.id: network for network in (NET, BARE, DEFAULT)}
HOST = ResolvConf(("127.0.0.53", "192.0.2.1", "2001:db8::1"), ("lan",), ("edns0",))


def box(*on: tuple[Network, str, str], **request: Any) -> Sandbox:
    endpoints = tuple(Endpoint(f"e-{net.id}", "ns", ID, net.id, net.name, "eth0", "", ip4, ip6) for net, ip4, ip6 in on)
    return Sandbox("ns", ID, SandboxRequest(**request), ID, endpoints)


def test_hosts_tell_own_addresses_and_extra_hosts() -> None:
    made = box(
        (NET, "10.1.0.2", "fd00::2"),
        hostname="web",
        domainname="example.org",
        extra_hosts=("db:10.9.9.9", "g:host-gateway"),
    )
    assert hostfiles.render_hostname(made) == "web\n"
    assert hostfiles.render_hosts(made, NETWORKS).splitlines()[len(hostfiles.LOCAL) :] == [
        "10.9.9.9\tdb",
        "10.1.0.1\tg",
        "fd00::1\tg",
        "10.1.0.2\tweb.example.org web",
        "fd00::2\tweb.example.org web",
    ]


def test_without_a_host_name_the_short_id_is_it() -> None:
    assert hostfiles.render_hosts(box((DEFAULT, "10.0.0.2", "")), NETWORKS).endswith("10.0.0.2\t0123456789ab\n")
    assert hostfiles.render_hosts(box(mode="none"), NETWORKS).splitlines() == list(hostfiles.LOCAL)


def test_the_gateway_of_an_internal_network_is_the_host_too() -> None:
    assert hostfiles.host_gateways(box((BARE, "10.2.0.2", "")), NETWORKS) == ["10.2.0.1"]
    assert hostfiles.host_gateways(box((BARE, "10.2.0.2", ""), (DEFAULT, "10.0.0.2", "")), NETWORKS) == ["10.0.0.1"]
    assert hostfiles.host_gateways(box(), NETWORKS) == []


def test_joining_and_leaving_keeps_a_users_lines() -> None:
    text = "127.0.0.1\tlocalhost\n10.1.0.2\tweb\n# mine\n10.7.7.7\tmine\n"
    joined = hostfiles.merge_hosts(text, ["10.1.0.2\tweb"], ["10.1.0.2\tweb", "10.2.0.2\tweb"])
    assert joined == text + "10.2.0.2\tweb\n"
    left = hostfiles.merge_hosts(joined, ["10.1.0.2\tweb", "10.2.0.2\tweb"], ["10.2.0.2\tweb"])
    assert left == "127.0.0.1\tlocalhost\n# mine\n10.7.7.7\tmine\n10.2.0.2\tweb\n"
    assert hostfiles.merge_hosts("edited", ["a"], ["a"]) == "edited"


def test_resolv_conf_names_the_responder_or_what_can_be_reached() -> None:
    on = hostfiles.resolv_conf(box((NET, "10.1.0.2", "")), NETWORKS, HOST)
    assert (on.servers, on.search, on.options) == (("127.0.0.11",), ("lan",), ("edns0", "ndots:0"))
    plain = hostfiles.resolv_conf(box((DEFAULT, "10.0.0.2", "")), NETWORKS, HOST)
    assert (plain.servers, plain.options) == (("192.0.2.1",), ("edns0",))
    six = hostfiles.resolv_conf(box((DEFAULT, "10.0.0.2", "fd01::2")), NETWORKS, HOST)
    assert six.servers == ("192.0.2.1", "2001:db8::1")
    local = hostfiles.resolv_conf(box((DEFAULT, "10.0.0.2", "")), NETWORKS, ResolvConf(("127.0.0.53",)))
    assert local.servers == dnsresolv.FALLBACK
    chosen = box((DEFAULT, "10.0.0.2", ""), dns=("192.0.2.9",), dns_search=(".",), dns_options=("ndots:3",))
    assert dnsresolv.render(hostfiles.resolv_conf(chosen, NETWORKS, HOST)) == "nameserver 192.0.2.9\noptions ndots:3\n"


@given(st.text())
def test_any_resolv_conf_is_read_and_written_alike(text: str) -> None:
    conf = dnsresolv.parse(text)
    again = dnsresolv.parse(dnsresolv.render(conf))
    assert again.servers == conf.servers
    assert again.search in {conf.search, ()}


def test_resolv_conf_is_read_as_the_library_does() -> None:
    conf = dnsresolv.parse(
        "# no\nnameserver 192.0.2.1 # yes\n;x\nsearch a\ndomain b\noptions timeout:2 attempts:99\nnameserver\n"
    )
    assert (conf.servers, conf.search) == (("192.0.2.1",), ("b",))
    assert (conf.number("timeout", 5, 30), conf.number("attempts", 2, 5), conf.number("ndots", 1, 15)) == (2, 5, 1)
    assert [dnsresolv.is_loopback(item) for item in ("127.0.0.1", "::1", "10.0.0.1", "fe80::1%eth0")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.5", ("db", "10.0.0.5")),
        ("db=10.0.0.5", ("db", "10.0.0.5")),
        ("db:::1", ("db", "::1")),
        ("db=[fd00::1]", ("db", "fd00::1")),
        ("db:host-gateway", ("db", "host-gateway")),
        ("a_b.c-d:1.2.3.4", ("a_b.c-d", "1.2.3.4")),
    ],
)
def test_extra_hosts(text: str, expected: tuple[str, str]) -> None:
    assert parse_extra_host(text) == expected


@pytest.mark.parametrize(
    "text", ["", "db", "db:", ":1.2.3.4", "db:x", "d b:1.2.3.4", "db\n:1.2.3.4", "db:1.2.3.4\n9.9.9.9 x"]
)
def test_bad_extra_hosts_are_named(text: str) -> None:
    with pytest.raises(InvalidArgument, match="extra host"):
        parse_extra_host(text)


@pytest.mark.parametrize(
    ("servers", "search", "options"), [(["x"], [], []), ([], ["a b"], []), ([], [], ["a\nb"]), ([], [], [""])]
)
def test_bad_dns_settings_are_named(servers: list[str], search: list[str], options: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="DNS"):
        check_dns(servers, search, options)
