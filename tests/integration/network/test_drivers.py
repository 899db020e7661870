"""Overlay and macvlan networks, with a second network namespace as the other host."""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Callable, Iterator

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


def overlay(host: NetDaemon, peers: str, ranges: str = "", **options: str) -> pb.Network:
    request = pb.CreateNetworkRequest(
        name="wide",
        driver="overlay",
        subnets=[pb.Subnet(cidr="10.77.0.0/24", ip_range=ranges)],
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
    eventually(lambda: not [name for name in world.links() if name.startswith("pc")])


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_hosts_tell_each_other_of_their_containers(world: World, host: NetDaemon, second: NetDaemon) -> None:
    def entries(*argv: str) -> str:
        return run("nsenter", f"--net={world.path}", *argv)

    mine = overlay(host, OTHER)
    overlay(second, "", join=UPLINK, ranges="10.77.0.128/25")
    tunnel = f"pcx-{mine.id[:10]}"
    second.run("there", {"endpoints": [{"network": "wide", "aliases": ["db"]}]})
    address = second.address_of("there", "wide")
    eventually(lambda: address in entries("ip", "neigh", "show", "nud", "permanent"))
    assert f"dst {OTHER} self permanent" in entries("bridge", "fdb", "show", "dev", tunnel)
    here = host.run("here", {"endpoints": [{"network": "wide"}], "dns_options": ["ndots:1"]})
    eventually(lambda: address in lookup(here, "db"))
    assert address in lookup(here, "there.wide")
    assert "64 bytes" in ping(here, address)
    assert "64 bytes" in ping(here, "10.77.0.128"), "the other host's gateway is found by flooding"
    second.kill()
    assert address in lookup(here, "db")
    second.start()
    eventually(lambda: address in lookup(here, "db"))
    second.remove("there")
    eventually(lambda: address not in lookup(here, "db"))
    eventually(lambda: address not in entries("ip", "neigh", "show", "nud", "permanent"))
    assert "self permanent" not in entries("bridge", "fdb", "show", "dev", tunnel).replace(
        f"00:00:00:00:00:00 dst {OTHER} self permanent", ""
    )
    host.remove("here")


def lookup(pid: int, name: str) -> str:
    command = ["nsenter", "-t", str(pid), "-n", "busybox", "nslookup", "-type=a", name, "127.0.0.11"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


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
