"""Overlay networks: shares of a subnet, keys, and what hosts believe of each other."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import overlaypeers
from pycontainerd.core.errors import InvalidArgument, Unimplemented
from pycontainerd.core.network import Network, Subnet
from pycontainerd.core.network_plan import Marks
from pycontainerd.core.overlay import MAX_VNI, OverlayDriver, read_peers, share, vni_for
from pycontainerd.core.overlaypeers import FORGET_AFTER, BadReport, Membership, RemoteEndpoint, Report

KEY = "a secret of ours"


def driver() -> OverlayDriver:
    return OverlayDriver(Marks("tag"), lambda path: {"/key": f"{KEY}\n"}[path], lambda peer: "192.0.2.1")


def network(cidr: str = "10.7.0.0/24", ranges: str = "", **options: str) -> Network:
    given = {"peers": "192.0.2.2", "key": KEY, **options}
    return Network(
        "ns", "0123456789abcdef", "wide", "overlay", (Subnet(cidr, str(ip_network(cidr)[1]), ranges),), given
    )


@given(st.integers(2, 40))
def test_shares_are_apart_and_within(count: int) -> None:
    whole = ip_network("10.0.0.0/16")
    parts = [ip_network(share(str(whole), place, count)) for place in range(count)]
    assert all(part.subnet_of(whole) for part in parts)  # type: ignore[arg-type]
    assert all(not one.overlaps(two) for at, one in enumerate(parts) for two in parts[at + 1 :])


def test_too_small_a_subnet_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="too small for 20 hosts"):
        share("10.0.0.0/26", 0, 20)


def test_all_hosts_agree_on_everything_but_their_share() -> None:
    hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    made = [driver().complete(network(peers=",".join(hosts), local=host)) for host in hosts]
    assert len({item.options["vni"] for item in made}) == 1
    assert [item.subnets[0].range for item in made] == ["10.7.0.0/26", "10.7.0.64/26", "10.7.0.128/26"]
    assert [item.subnets[0].gateway for item in made] == ["10.7.0.1", "10.7.0.64", "10.7.0.128"]
    assert all(ip_address(item.subnets[0].gateway) in ip_network(item.subnets[0].range) for item in made)
    assert driver().tunnel(made[0]).peers == ("192.0.2.2", "192.0.2.3")


def test_keys_come_from_files_too() -> None:
    assert driver().tunnel(network(key="@/key")).vni == driver().tunnel(network()).vni == vni_for(KEY, "wide")
    assert 0 < vni_for("x", "y") <= MAX_VNI
    assert vni_for(KEY, "wide") != vni_for(KEY, "wider")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"key": ""}, "key=SECRET"),
        ({"peers": ""}, "other hosts"),
        ({"peers": "192.0.2.2,2001:db8::1"}, "mixes"),
        ({"join": "192.0.2.2"}, "--ip-range"),
        ({"port": "0"}, "65535"),
        ({"local": "2001:db8::1"}, "local"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        driver().validate(network(**options))


def test_encryption_is_not_promised() -> None:
    with pytest.raises(Unimplemented, match="VPN"):
        driver().validate(network(encrypted=""))
    with pytest.raises(InvalidArgument, match="at most"):
        read_peers(",".join(f"10.0.{n // 200}.{n % 200 + 1}" for n in range(300)))


def test_the_tunnel_is_a_port_of_the_bridge() -> None:
    made = driver().complete(network())
    bridge, vxlan, *_ = driver().network_up(made)
    assert (bridge["overhead"], vxlan["op"], vxlan["peers"], vxlan["port"]) == (50, "vxlan", ["192.0.2.2"], 4789)
    assert vxlan["alias"] == "pycontainerd:tag:network:0123456789abcdef/tunnel"
    assert [op["op"] for op in driver().network_down(made)] == ["unlink", "unlink"]


# What travels

macs = st.binary(min_size=5, max_size=5).map(lambda tail: (b"\x02" + tail).hex(":"))
v4 = st.ip_addresses(v=4).map(str)
endpoints = st.builds(RemoteEndpoint, macs, v4, st.just(""), st.lists(st.text(), max_size=3).map(tuple))
reports = st.builds(Report, v4, st.lists(v4).map(tuple), st.just(("10.0.0.0/8",)), st.lists(endpoints).map(tuple))


@given(reports)
def test_reports_travel(report: Report) -> None:
    assert overlaypeers.from_body(overlaypeers.to_body(report)) == report


@given(st.binary(max_size=200) | st.from_regex(rb'\{"host":"[^"]*","peers":\[.*\],"ranges":\[\],"endpoints":\[.*\]\}'))
def test_anything_is_a_report_or_refused(body: bytes) -> None:
    try:
        overlaypeers.from_body(body)
    except BadReport:
        pass


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "02:00", "x"])
def test_macs_of_no_interface_are_refused(mac: str) -> None:
    with pytest.raises(BadReport):
        overlaypeers.from_body(overlaypeers.to_body(Report("192.0.2.2", endpoints=(RemoteEndpoint(mac, "10.0.0.1"),))))


def test_signatures_are_of_one_key_side_and_visit() -> None:
    key, nonces = overlaypeers.signing_key(KEY, "wide"), b"n" * 32
    signature = overlaypeers.sign(key, b"c", nonces, b"body")
    overlaypeers.verify(key, b"c", nonces, b"body", signature)
    for other in ((key, b"s", nonces, b"body"), (key, b"c", b"m" * 32, b"body"), (key, b"c", nonces, b"Body")):
        with pytest.raises(BadReport):
            overlaypeers.verify(*other, signature)
    with pytest.raises(BadReport):
        overlaypeers.verify(overlaypeers.signing_key(KEY, "other"), b"c", nonces, b"body", signature)


def test_hosts_come_by_hearsay_and_go_when_silent() -> None:
    group = Membership("192.0.2.1", ("10.0.1.0/24",))
    group.expect(["192.0.2.1", "192.0.2.2"])
    assert group.peers == ["192.0.2.2"]
    box = RemoteEndpoint("02:00:00:00:00:01", "10.0.2.5", names=("box",))
    spoof = RemoteEndpoint("02:00:00:00:00:02", "10.0.1.5")
    report = Report("192.0.2.2", ("192.0.2.1", "192.0.2.3"), ("10.0.2.0/24",), (box, spoof))
    assert group.hear(report, 100.0)
    assert not group.hear(report, 101.0)
    assert not group.hear(Report("192.0.2.1"), 101.0)
    assert group.peers == ["192.0.2.2", "192.0.2.3"]
    assert group.vouched == ("192.0.2.2",)
    assert group.remote() == {"192.0.2.2": (box,)}
    assert not group.forget(101.0 + FORGET_AFTER - 2)
    assert group.forget(102.0 + FORGET_AFTER)
    assert (group.peers, group.remote()) == (["192.0.2.2"], {})


def test_hosts_with_the_same_range_are_named() -> None:
    group = Membership("192.0.2.1", ("10.0.0.0/24", "fd00::/64"))
    group.hear(Report("192.0.2.2", (), ("10.0.0.0/16",)), 1.0)
    assert group.conflicts() == ["host 192.0.2.2 hands out 10.0.0.0/16 as well; give each host another --ip-range"]
