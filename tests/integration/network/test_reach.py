"""Who reaches whom: containers, networks, the host, and others."""

from __future__ import annotations

import grpc
import pytest

from pycontainerd.api.networks.v1 import networks_pb2 as pb
from tests.integration.network.world import OTHER, UPLINK, UPLINK6, NetDaemon, World, code_of, details, run

pytestmark = pytest.mark.root


def test_two_containers_on_the_default_network(world: World, host: NetDaemon) -> None:
    host.run("server", args=("nc", "-ll", "-p", "80", "-e", "echo", "hello"))
    address = host.address_of("server")
    pid = host.run("client")
    said = run("nsenter", "-t", str(pid), "-a", "/bin/sh", "-c", f"ping -c 1 -W 2 {address} >&2; nc -w 2 {address} 80")
    assert said == "hello\n"
    route = run("nsenter", "-t", str(pid), "-n", "ip", "route")
    assert route.startswith("default via 172.30.0.1 dev eth0")
    world.agree(host)
    host.remove("server", "client")
    world.agree(host)


def test_published_ports_from_everywhere_with_the_senders_address(world: World, host: NetDaemon) -> None:
    ports = [{"host_port": 8080, "container_port": 80}, {"host_port": 8053, "container_port": 80, "proto": "udp"}]
    host.run("web", {"ports": ports})
    world.serve(host.netns("web"), 80)
    host.run("peer")
    host.networks.Create(pb.CreateNetworkRequest(name="far"))
    host.run("stranger", {"mode": "far"})
    address, gateway = host.address_of("web"), "172.30.0.1"
    assert world.ask(world.other, UPLINK, 8080) == OTHER
    assert world.ask(world.other, UPLINK, 8053, "udp") == OTHER
    assert world.ask(world.path, UPLINK, 8080) == UPLINK
    assert world.ask(world.path, "127.0.0.1", 8080) == gateway
    assert world.ask(world.path, "127.0.0.1", 8053, "udp") == gateway
    assert world.ask(world.path, "::1", 8080) == gateway
    assert world.ask(world.other, UPLINK6, 8080) == gateway  # the container has no IPv6: a proxy in between
    assert world.ask(host.netns("peer"), UPLINK, 8080) == host.address_of("peer")
    assert world.ask(host.netns("stranger"), UPLINK, 8080) == host.address_of("stranger", "far")
    assert world.ask(host.netns("web"), UPLINK, 8080) == gateway  # itself
    assert world.ask(host.netns("peer"), address, 80) == host.address_of("peer")
    assert world.ask(host.netns("peer"), "127.0.0.1", 8080) == "ConnectionRefusedError"
    world.agree(host)
    host.stop_task("web", delete=False)
    assert world.ask(world.path, "127.0.0.1", 8080) == "ConnectionRefusedError", "ports are released at the exit"


def test_ports_on_one_address_only(world: World, host: NetDaemon) -> None:
    host.run("web", {"ports": [{"host_ip": "127.0.0.1", "host_port": 8080, "container_port": 80}]})
    world.serve(host.netns("web"), 80)
    assert world.ask(world.path, "127.0.0.1", 8080) == "172.30.0.1"
    assert world.ask(world.path, UPLINK, 8080) == "ConnectionRefusedError"
    assert world.ask(world.other, UPLINK, 8080) == "ConnectionRefusedError"
    # a neighbour that sends packets for 127.0.0.1 to us must not be let in
    run("ip", "-n", world.other_name, "route", "add", "127.0.0.0/8", "via", UPLINK, "dev", "up0", "table", "77")
    run("ip", "-n", world.other_name, "rule", "add", "to", "127.0.0.1", "dport", "8080", "table", "77", "pref", "0")
    run("nsenter", f"--net={world.other}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet")
    assert world.ask(world.other, "127.0.0.1", 8080) in {"TimeoutError", "ConnectionRefusedError"}


def test_containers_reach_out_through_the_hosts_address(world: World, host: NetDaemon) -> None:
    world.serve(world.other, 7000)
    host.run("c")
    assert world.ask(host.netns("c"), OTHER, 7000) == UPLINK


def test_nobody_comes_in_past_published_ports(world: World, host: NetDaemon) -> None:
    host.run("c")
    world.serve(host.netns("c"), 80)
    run("ip", "-n", world.other_name, "route", "add", "172.30.0.0/16", "via", UPLINK)
    assert world.ask(world.other, host.address_of("c"), 80) == "TimeoutError"
    assert world.ask(world.path, host.address_of("c"), 80) == "172.30.0.1"


def test_networks_are_apart_and_internal_ones_alone(world: World, host: NetDaemon) -> None:
    host.networks.Create(pb.CreateNetworkRequest(name="one"))
    host.networks.Create(pb.CreateNetworkRequest(name="inside", internal=True))
    host.run("a", {"mode": "one"})
    host.run("b")
    host.run("i1", {"mode": "inside", "ports": [{"host_port": 8080, "container_port": 80}]})
    host.run("i2", {"mode": "inside"})
    for name in ("b", "i1"):
        world.serve(host.netns(name), 80)
    world.serve(world.other, 7000)
    inside = host.address_of("i1", "inside")
    assert world.ask(host.netns("a"), host.address_of("b"), 80) == "TimeoutError"
    assert world.ask(host.netns("i2"), inside, 80) == host.address_of("i2", "inside")
    assert world.ask(host.netns("a"), inside, 80) == "TimeoutError"
    assert world.ask(host.netns("i2"), OTHER, 7000) in {"OSError", "TimeoutError"}
    assert not host.sandbox("i1").ports


def test_icc_can_be_switched_off(world: World, host: NetDaemon) -> None:
    options = {"com.docker.network.bridge.enable_icc": "false"}
    host.networks.Create(pb.CreateNetworkRequest(name="shy", options=options))
    host.run("a", {"mode": "shy", "ports": [{"host_port": 8080, "container_port": 80}]})
    host.run("b", {"mode": "shy"})
    world.serve(host.netns("a"), 80)
    assert world.ask(host.netns("b"), host.address_of("a", "shy"), 80) in {"OSError", "TimeoutError"}
    assert world.ask(host.netns("b"), UPLINK, 8080) != "TimeoutError"


def test_ipv6_networks(world: World, host: NetDaemon) -> None:
    host.networks.Create(pb.CreateNetworkRequest(name="six", ipv6=True))
    host.run("web", {"mode": "six", "ports": [{"host_port": 8080, "container_port": 80}]})
    host.run("peer", {"mode": "six"})
    world.serve(host.netns("web"), 80)
    web, peer = (host.sandbox(name).endpoints[0] for name in ("web", "peer"))
    assert web.ipv6.startswith("fd")
    assert world.ask(host.netns("peer"), web.ipv6, 80) == peer.ipv6
    assert world.ask(world.other, UPLINK6, 8080) == "2001:db8:1::2"
    assert world.ask(world.path, "::1", 8080) == "172.28.0.1"
    assert world.ask(host.netns("peer"), UPLINK6, 8080) == peer.ipv6
    assert world.ask(host.netns("web"), UPLINK6, 8080) == web.ipv6_gateway
    world.serve(world.other, 7000)
    assert world.ask(host.netns("peer"), "2001:db8:1::2", 7000) == UPLINK6


def test_modes(world: World, host: NetDaemon) -> None:
    host.create("early", {"mode": "container:web"})
    with pytest.raises(grpc.RpcError) as error:
        host.start_task("early")
    assert code_of(error) == "NOT_FOUND"
    host.create("web", {})
    with pytest.raises(grpc.RpcError) as error:
        host.start_task("early")
    assert (code_of(error), "start it" in details(error)) == ("FAILED_PRECONDITION", True)
    host.start_task("web")
    pids = [host.start_task("early"), host.run("free", {"mode": "host"}), host.run("alone", {"mode": "none"})]
    joined, free, alone = (run("nsenter", "-t", str(pid), "-n", "ip", "-br", "addr") for pid in pids)
    assert host.address_of("web") in joined
    assert "up0" in free
    assert [line.split()[0] for line in alone.splitlines()] == ["lo"]
    assert "127.0.0.1" in alone
    host.remove("early", "free", "alone", "web")
    world.agree(host)


def test_a_container_that_is_not_ours_keeps_its_own_namespace(world: World, host: NetDaemon) -> None:
    host.create("plain", None)
    pid = host.start_task("plain")
    assert [line.split()[0] for line in run("nsenter", "-t", str(pid), "-n", "ip", "-br", "addr").splitlines()] == [
        "lo"
    ]
    assert world.ruleset() == ""
    host.remove("plain")
