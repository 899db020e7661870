"""Overlay and macvlan networks, with a second network namespace as the other host."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import grpc
import pytest

from pycontainerd.api.networks.v1 import networks_pb2 as pb
from tests.integration.network.world import OTHER, UPLINK, NetDaemon, World, code_of, details, run

pytestmark = pytest.mark.root
KEY = "correct horse battery staple"


@pytest.fixture
def second(world: World) -> Iterator[NetDaemon]:
    """Another daemon, on the other host."""
    there = copy.copy(world)
    there.path, there.name = world.other, world.other_name
    daemon = NetDaemon(there)
    try:
        yield daemon.start()
    finally:
        daemon.close()


def overlay(host: NetDaemon, peers: str, **options: str) -> pb.Network:
    request = pb.CreateNetworkRequest(
        name="wide",
        driver="overlay",
        subnets=[pb.Subnet(cidr="10.77.0.0/24")],
        options={"peers": peers, "key": KEY, **options},
    )
    return host.networks.Create(request).network  # type: ignore[no-any-return]


def ping(pid: int, address: str, *options: str) -> str:
    return run("nsenter", "-t", str(pid), "-n", "busybox", "ping", "-c", "1", "-W", "2", *options, address)


def test_an_overlay_network_spans_two_hosts(world: World, host: NetDaemon, second: NetDaemon) -> None:
    mine, theirs = overlay(host, OTHER), overlay(second, UPLINK)
    assert mine.options["vni"] == theirs.options["vni"]
    assert [net.subnets[0].ip_range for net in (mine, theirs)] == ["10.77.0.0/25", "10.77.0.128/25"]
    assert [net.subnets[0].gateway for net in (mine, theirs)] == ["10.77.0.1", "10.77.0.128"]
    here = host.run("here", {"endpoints": [{"network": "wide"}]})
    there = second.run("there", {"endpoints": [{"network": "wide"}]})
    assert "64 bytes" in ping(here, second.address_of("there", "wide"))
    assert "1430 bytes" in ping(there, host.address_of("here", "wide"), "-s", "1422")
    link = json.loads(run("nsenter", "-t", str(here), "-n", "ip", "-j", "link", "show", "eth0"))[0]
    assert link["mtu"] == 1450
    host.kill()
    assert "64 bytes" in ping(there, "10.77.0.2")
    host.start()
    assert "64 bytes" in ping(there, "10.77.0.2")
    assert "64 bytes" in ping(here, OTHER), "the world is reached through the host they run on"
    host.remove("here")
    second.remove("there")
    for daemon in (host, second):
        daemon.networks.Remove(pb.RemoveNetworkRequest(network="wide"))
    assert not [name for name in world.links() if name.startswith("pc")]


def test_another_key_is_another_network(host: NetDaemon, second: NetDaemon) -> None:
    overlay(host, OTHER)
    overlay(second, UPLINK, key="another secret of theirs")
    here = host.run("here", {"endpoints": [{"network": "wide"}]})
    second.run("there", {"endpoints": [{"network": "wide"}]})
    with pytest.raises(AssertionError):
        ping(here, second.address_of("there", "wide"))
    host.remove("here")
    second.remove("there")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"peers": ""}, "give the other hosts"),
        ({"peers": "x"}, "overlay peer"),
        ({"key": "short"}, "key=SECRET"),
        ({"key": "@/nowhere"}, "key file"),
        ({"vni": "99999999"}, "16777215"),
        ({"colour": "red"}, "the overlay driver knows"),
    ],
)
def test_bad_overlay_options_are_named(host: NetDaemon, options: dict[str, str], says: str) -> None:
    with pytest.raises(grpc.RpcError) as error:
        overlay(host, options.pop("peers", OTHER), **options)
    assert code_of(error) == "INVALID_ARGUMENT"
    assert says in details(error)


def test_macvlan_containers_are_on_the_hosts_network(world: World, host: NetDaemon) -> None:
    subnet = pb.Subnet(cidr="198.51.100.0/24", gateway=OTHER, ip_range="198.51.100.128/25")
    request = pb.CreateNetworkRequest(name="lan", driver="macvlan", subnets=[subnet], options={"parent": "up0"})
    host.networks.Create(request)
    one = host.run("one", {"endpoints": [{"network": "lan"}]})
    host.run("two", {"endpoints": [{"network": "lan"}]})
    assert "64 bytes" in ping(one, OTHER)
    assert "64 bytes" in ping(one, host.address_of("two", "lan"))
    assert "default via 198.51.100.2" in run("nsenter", "-t", str(one), "-n", "ip", "route")
    host.restart()
    assert "64 bytes" in ping(one, OTHER)
    host.networks.Disconnect(pb.DisconnectNetworkRequest(network="lan", container="one"))
    assert "eth0" not in run("nsenter", "-t", str(one), "-n", "ip", "link")
    host.networks.Connect(pb.ConnectNetworkRequest(network="lan", container="one"))
    assert "64 bytes" in ping(one, OTHER)
    host.remove("one", "two")
    host.networks.Remove(pb.RemoveNetworkRequest(network="lan"))


def test_a_macvlan_parent_has_to_be_there(host: NetDaemon) -> None:
    for options, says in (({}, "parent=eth0"), ({"parent": "nope0"}, "no interface nope0"), ({"mode": "x"}, "knows")):
        request = pb.CreateNetworkRequest(name="lan", driver="macvlan", options=options)
        with pytest.raises(grpc.RpcError) as error:
            host.networks.Create(request)
        assert says in details(error)
    assert "lan" not in [net.name for net in host.networks.List(pb.ListNetworksRequest()).networks]
