"""Names of containers through a real daemon, over its deaths, and the files that go with them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pycontainerd.api.networks.v1 import networks_pb2 as pb
from tests.integration.network.world import NAMESPACE, NetDaemon, World, run

pytestmark = pytest.mark.root


def names_in(world: World) -> None:
    Path(world.rootfs, "etc/resolv.conf").write_text("nameserver 127.0.0.11\noptions ndots:0\n")


BOX = {"endpoints": [{"network": "my-net"}], "dns_options": ["ndots:1"]}
"""Whose unknown names are not passed on: the servers of the machine that runs the tests are out of reach here."""


def unknown(pid: int, name: str) -> bool:
    """Whether a name is not found, within a few seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            ping(pid, name)
        except AssertionError as error:
            return "bad address" in str(error)
        time.sleep(0.1)
    return False


def ping(pid: int, name: str) -> str:
    return run("nsenter", "-t", str(pid), "-a", "/bin/ping", "-c", "1", "-W", "2", name)


def managed(host: NetDaemon, id: str, name: str) -> str:
    return (host.root / "containers" / NAMESPACE / id / name).read_text()


def test_containers_reach_each_other_by_name_over_the_daemons_death(world: World, host: NetDaemon) -> None:
    names_in(world)
    host.networks.Create(pb.CreateNetworkRequest(name="my-net"))
    web = host.run("web", {**BOX, "endpoints": [{"network": "my-net", "aliases": ["www"]}]})
    box = host.run("box", {**BOX, "extra_hosts": ["gw:host-gateway"]})
    address = host.address_of("web", "my-net")
    for name in ("web", "www", "www.my-net"):
        assert f"({address})" in ping(box, name)
    gateway = address.rsplit(".", 1)[0] + ".1"
    assert f"{gateway}\tgw\n" in managed(host, "box", "hosts")
    assert f"{host.address_of('box', 'my-net')}\tbox\n" in managed(host, "box", "hosts")
    assert "nameserver 127.0.0.11\n" in managed(host, "box", "resolv.conf")
    host.kill()
    assert f"({address})" in ping(box, "web")
    host.start()
    assert f"({address})" in ping(box, "www")
    host.run("late", BOX)
    assert f"({host.address_of('late', 'my-net')})" in ping(web, "late")
    host.remove("late")
    assert unknown(web, "late")
    host.remove("web", "box")
    world.agree(host)


def test_what_ends_while_the_daemon_is_away_loses_its_name(world: World, host: NetDaemon) -> None:
    names_in(world)
    host.networks.Create(pb.CreateNetworkRequest(name="my-net"))
    host.run("web", BOX, args=("sleep", "2"))
    box = host.run("box", BOX)
    assert "64 bytes" in ping(box, "web")
    host.kill()
    time.sleep(2.2)
    host.start()
    assert unknown(box, "web")
    host.remove("web", "box")
    world.agree(host)


def test_joining_and_leaving_while_running(world: World, host: NetDaemon) -> None:
    names_in(world)
    host.networks.Create(pb.CreateNetworkRequest(name="my-net"))
    host.run("web", BOX)
    box = host.run("box", {"dns_options": ["ndots:1"]})
    assert "127.0.0.11" not in managed(host, "box", "resolv.conf")
    before = managed(host, "box", "hosts")
    host.networks.Connect(pb.ConnectNetworkRequest(network="my-net", container="box", aliases=["pal"]))
    assert "64 bytes" in ping(box, "web")
    assert "64 bytes" in ping(box, "pal")
    assert managed(host, "box", "hosts") == f"{before}{host.address_of('box', 'my-net')}\tbox\n"
    assert "nameserver 127.0.0.11\n" in managed(host, "box", "resolv.conf")
    host.networks.Disconnect(pb.DisconnectNetworkRequest(network="my-net", container="box"))
    assert managed(host, "box", "hosts") == before
    assert unknown(box, "web")
    host.remove("web", "box")
    world.agree(host)


def test_a_restart_makes_the_files_anew(world: World, host: NetDaemon) -> None:
    host.networks.Create(pb.CreateNetworkRequest(name="my-net"))
    host.run("box", BOX)
    before = managed(host, "box", "hosts")
    for _ in range(3):
        hosts = host.root / "containers" / NAMESPACE / "box" / "hosts"
        hosts.write_text("10.9.9.9\tmine\n")
        host.stop_task("box")
        host.start_task("box")
        assert managed(host, "box", "hosts") == before
    host.remove("box")
