"""Other packet filters on the same host: used where they offer a way, named where they do not, never changed."""

from __future__ import annotations

import shutil

import pytest

from pycontainerd.api.networks.v1 import networks_pb2 as pb
from tests.integration.network.world import OTHER, UPLINK, NetDaemon, World, run

pytestmark = pytest.mark.root


def inside(world: World, *argv: str) -> str:
    return run("nsenter", f"--net={world.path}", *argv)


@pytest.mark.skipif(shutil.which("iptables") is None, reason="no iptables")
def test_dockers_chain_for_users_lets_our_packets_through(world: World, host: NetDaemon) -> None:
    for rule in ("-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-I FORWARD -j DOCKER-USER", "-P FORWARD DROP"):
        inside(world, "iptables", *rule.split())
    before = inside(world, "iptables", "-S")
    world.serve(world.other, 7000)
    made = host.networks.Create(pb.CreateNetworkRequest(name="n")).network
    assert not made.warnings
    host.run("web", {"mode": "n", "ports": [{"host_port": 8080, "container_port": 80}]})
    host.run("peer", {"mode": "n"})
    world.serve(host.netns("web"), 80)
    assert world.ask(host.netns("web"), OTHER, 7000) == UPLINK
    assert world.ask(world.other, UPLINK, 8080) == OTHER
    assert world.ask(host.netns("peer"), host.address_of("web", "n"), 80) == host.address_of("peer", "n")
    host.remove("web", "peer")
    host.networks.Remove(pb.RemoveNetworkRequest(network="n"))
    assert inside(world, "iptables", "-S") == before


def test_a_filter_we_cannot_talk_to_is_named(world: World, host: NetDaemon) -> None:
    script = "add table inet mine\nadd chain inet mine fw { type filter hook forward priority 0; policy drop; }\n"
    inside(world, "nft", script)
    before = inside(world, "nft", "list", "table", "inet", "mine")
    made = host.networks.Create(pb.CreateNetworkRequest(name="n")).network
    (warning,) = made.warnings
    assert warning.startswith("table inet mine, chain fw drops forwarded packets by policy")
    assert f'iifname "{made.link}"' in warning
    assert list(host.networks.Get(pb.GetNetworkRequest(network="n")).network.warnings) == [warning]
    assert inside(world, "nft", "list", "table", "inet", "mine") == before


def test_a_subnet_the_host_has_a_route_to_is_avoided_or_told_of(world: World, host: NetDaemon) -> None:
    run("ip", "-n", world.name, "route", "add", "172.28.0.0/16", "via", OTHER)
    run("ip", "-n", world.name, "route", "add", "172.30.5.0/24", "via", OTHER)
    chosen = host.networks.Create(pb.CreateNetworkRequest(name="chosen")).network
    assert chosen.subnets[0].cidr == "172.29.0.0/20"
    asked = host.networks.Create(
        pb.CreateNetworkRequest(name="asked", subnets=[pb.Subnet(cidr="172.28.9.0/24")])
    ).network
    assert list(asked.warnings) == ["subnet 172.28.9.0/24 covers 172.28.0.0/16, to which this host has a route already"]
    host.run("c")
    assert host.address_of("c").startswith("172.29.16.")


def test_two_daemons_on_one_host(world: World, host: NetDaemon) -> None:
    second = NetDaemon(world)
    try:
        second.start()
        ports = [{"host_port": 8080, "container_port": 80}]
        host.run("c", {"ports": ports})
        second.run("c", {"ports": [{"host_port": 8081, "container_port": 80}]})
        world.serve(host.netns("c"), 80)
        world.serve(second.netns("c"), 80)
        assert world.ask(world.other, UPLINK, 8080) == world.ask(world.other, UPLINK, 8081) == OTHER
        assert host.address_of("c") != second.address_of("c")
        second.restart()
        host.restart()
        world.agree(host)
        world.agree(second)
        second.remove("c")
        assert world.ask(world.path, "127.0.0.1", 8080) == "172.30.0.1"
    finally:
        second.close()
