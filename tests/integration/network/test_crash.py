"""The daemon is killed at each step of what it does to networks; afterwards all agrees, and nothing is leaked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import grpc
import pytest

from pycontainerd.api.networks.v1 import networks_pb2 as pb
from tests.integration.network.world import UPLINK, NetDaemon, World, run

pytestmark = pytest.mark.root

WEB = {"ports": [{"host_port": 8080, "container_port": 80}, {"host_port": 8053, "container_port": 80, "proto": "udp"}]}


def create(host: NetDaemon) -> None:
    host.networks.Create(pb.CreateNetworkRequest(name="made"))


def remove(host: NetDaemon) -> None:
    host.networks.Remove(pb.RemoveNetworkRequest(network="spare"))


def connect(host: NetDaemon) -> None:
    host.networks.Connect(pb.ConnectNetworkRequest(network="spare", container="bystander"))


def disconnect(host: NetDaemon) -> None:
    host.networks.Disconnect(pb.DisconnectNetworkRequest(network="other", container="bystander"))


def prepare(host: NetDaemon) -> None:
    host.start_task("web")


def release(host: NetDaemon) -> None:
    host.stop_task("bystander")


STEPS: list[tuple[str, Callable[[NetDaemon], None]]] = [
    ("network.create.rows@4", create),
    ("network.create.kernel@4", create),
    ("network.remove.marked", remove),
    ("network.remove.kernel", remove),
    ("network.remove.rows", remove),
    ("network.connect.rows", connect),
    ("network.connect.kernel", connect),
    ("network.connect.rules", connect),
    ("network.disconnect.start", disconnect),
    ("network.disconnect.kernel", disconnect),
    ("network.disconnect.rows", disconnect),
    ("network.prepare.rows@2", prepare),
    ("network.prepare.ports@2", prepare),
    ("network.prepare.kernel@2", prepare),
    ("network.prepare.rules@2", prepare),
    ("network.release.ports", release),
    ("network.release.kernel", release),
    ("network.release.rows", release),
    ("network.agent.request@20", prepare),
]


@pytest.mark.parametrize(("point", "act"), STEPS, ids=[point for point, _ in STEPS])
def test_killed_at(point: str, act: Callable[[NetDaemon], None], world: World) -> None:
    name, _, number = point.partition("@")
    host = NetDaemon(world)
    host.failpoints = f"{name}=crash" + (f"@{number}" if number else "")
    try:
        host.start()
        host.networks.Create(pb.CreateNetworkRequest(name="spare"))
        host.networks.Create(pb.CreateNetworkRequest(name="other"))
        host.run(
            "bystander",
            {
                "endpoints": [{"network": "bridge"}, {"network": "other"}],
                "ports": [{"host_port": 9000, "container_port": 80}],
            },
        )
        world.serve(host.netns("bystander"), 80)
        host.create("web", WEB)
        with contextlib.suppress(grpc.RpcError):
            act(host)
            if not number:
                pytest.fail(f"{name} was not hit")
        host.kill()
        host.failpoints = ""
        host.start()
        world.agree(host)
        if act is not release:
            assert world.ask(world.path, UPLINK, 9000) == UPLINK
            assert world.ask(world.path, "::1", 9000).endswith(".1")
        with contextlib.suppress(grpc.RpcError):
            act(host)  # it may have been done
        world.agree(host)
        host.remove("web", "bystander")
        for network in host.networks.List(pb.ListNetworksRequest()).networks:
            if network.name != "bridge":
                host.networks.Remove(pb.RemoveNetworkRequest(network=network.name))
        world.agree(host)
        assert len([link for link in world.links() if link.startswith("pc")]) == 1
    finally:
        host.close()


@pytest.mark.parametrize("point", ["network.recover.swept", "network.recover.rules"])
def test_killed_while_it_recovers(point: str, world: World) -> None:
    host = NetDaemon(world)
    try:
        host.start()
        host.run("bystander", {"ports": [{"host_port": 9000, "container_port": 80}]})
        world.serve(host.netns("bystander"), 80)
        host.kill()
        run("nsenter", f"--net={world.path}", "nft", "flush", "ruleset")
        host.failpoints = f"{point}=crash"
        host.start(wait=False)
        assert host.process is not None
        assert host.process.wait(20) == -9
        host.failpoints = ""
        host.start()
        assert world.ask(world.path, UPLINK, 9000) == UPLINK
        world.agree(host)
    finally:
        host.close()
