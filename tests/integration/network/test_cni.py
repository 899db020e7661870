"""Networks made by Debian's CNI plugins."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from pycontainerd.api.networks.v1 import networks_pb2 as pb
from pycontainerd.core.cni import Attachment, CniError, parse_config
from pycontainerd.network.cni import Chains
from tests.integration.network.dnsclient import Namespaces
from tests.integration.network.world import OTHER, UPLINK, NetDaemon, World, code_of, details, run

pytestmark = [pytest.mark.root, pytest.mark.skipif(not os.path.isdir("/usr/lib/cni"), reason="no CNI plugins here")]


def conflist(directory: Path, *more: dict[str, Any], version: str = "1.0.0", bridge: str = "cni0") -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "dataDir": str(directory / "ipam"),
        "ranges": [[{"subnet": "10.88.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugin = {"type": "bridge", "bridge": bridge, "isGateway": True, "ipMasq": True, "ipam": ipam}
    return {"cniVersion": version, "name": "cnet", "plugins": [plugin, *more]}


def write(directory: Path, value: dict[str, Any]) -> str:
    path = directory / "10-cnet.conflist"
    path.write_text(json.dumps(value))
    return str(path)


def reserved(directory: Path) -> list[str]:
    found = directory / "ipam" / "cnet"
    return sorted(path.name for path in found.iterdir() if path.name[0].isdigit()) if found.exists() else []


def ping(pid: int, address: str) -> str:
    return run("nsenter", "-t", str(pid), "-n", "busybox", "ping", "-c", "1", "-W", "2", address)


def make(host: NetDaemon, path: str) -> pb.Network:
    return host.networks.Create(pb.CreateNetworkRequest(name="cnet", driver="cni", options={"conf": path})).network  # type: ignore[no-any-return]


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0"])
def test_containers_on_a_conflist(world: World, host: NetDaemon, tmp_path: Path, version: str) -> None:
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    make(host, write(tmp_path, conflist(tmp_path, portmap, version=version)))
    web = host.run("web", {"endpoints": [{"network": "cnet"}], "ports": [{"host_port": 8088, "container_port": 80}]})
    box = host.run("box", {"endpoints": [{"network": "cnet", "aliases": ["b"]}]})
    assert host.address_of("web", "cnet") == "10.88.0.2"
    assert reserved(tmp_path) == ["10.88.0.2", "10.88.0.3"]
    assert "64 bytes" in ping(box, "10.88.0.2")
    assert "64 bytes" in ping(web, OTHER)
    world.serve(host.netns("web"), 80)
    assert world.ask(world.other, UPLINK, 8088) == OTHER
    lookup = run("nsenter", "-t", str(web), "-n", "busybox", "nslookup", "b", "127.0.0.11")
    assert "10.88.0.3" in lookup
    host.kill()
    host.start()
    assert "64 bytes" in ping(box, "10.88.0.2")
    assert reserved(tmp_path) == ["10.88.0.2", "10.88.0.3"]
    host.remove("web", "box")
    assert reserved(tmp_path) == []
    assert not list((host.root / "cni").iterdir())
    assert world.ask(world.other, UPLINK, 8088) == "ConnectionRefusedError"


def test_what_a_container_left_that_ended_in_the_daemons_absence_goes(
    world: World, host: NetDaemon, tmp_path: Path
) -> None:
    path = write(tmp_path, conflist(tmp_path))
    make(host, path)
    pid = host.run("box", {"endpoints": [{"network": "cnet"}]})
    host.kill()
    os.unlink(path)
    os.kill(pid, 9)
    time.sleep(0.5)
    host.start()
    deadline = time.monotonic() + 10
    while reserved(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_joining_and_leaving_while_running(host: NetDaemon, tmp_path: Path) -> None:
    make(host, write(tmp_path, conflist(tmp_path)))
    box = host.run("box")
    got = host.networks.Connect(pb.ConnectNetworkRequest(network="cnet", container="box"))
    del got
    assert "10.88.0.2" in run("nsenter", "-t", str(box), "-n", "ip", "addr", "show", "eth1")
    assert host.address_of("box", "cnet") == "10.88.0.2"
    assert "64 bytes" in ping(box, OTHER)
    host.networks.Disconnect(pb.DisconnectNetworkRequest(network="cnet", container="box"))
    assert "eth1" not in run("nsenter", "-t", str(box), "-n", "ip", "addr")
    assert reserved(tmp_path) == []
    assert "64 bytes" in ping(box, OTHER)


def test_a_plugin_that_fails_is_named_and_nothing_is_left(host: NetDaemon, tmp_path: Path) -> None:
    bad = {"type": "bandwidth", "ingressRate": -5, "ingressBurst": 1}
    make(host, write(tmp_path, conflist(tmp_path, bad)))
    with pytest.raises(grpc.RpcError) as error:
        host.run("box", {"endpoints": [{"network": "cnet"}]})
    assert "CNI plugin bandwidth failed to ADD" in details(error)
    assert reserved(tmp_path) == []


def test_bad_configurations_are_named(host: NetDaemon, tmp_path: Path) -> None:
    for value, says in (({"name": "x"}, "has no plugins"), (conflist(tmp_path, version="9.9"), "cniVersion")):
        with pytest.raises(grpc.RpcError) as error:
            make(host, write(tmp_path, value))
        assert code_of(error) == "INVALID_ARGUMENT"
        assert says in details(error)
    with pytest.raises(grpc.RpcError) as error:
        make(host, "/nowhere.conflist")
    assert code_of(error) == "NOT_FOUND"
    make(host, write(tmp_path, conflist(tmp_path, {"type": "nonesuch"})))
    with pytest.raises(grpc.RpcError) as error:
        host.run("box", {"endpoints": [{"network": "cnet"}]})
    assert "CNI plugin nonesuch is in none of" in details(error)


# Chains by themselves, on plugins that tell what they were asked

SPY = """#!/bin/sh
input=$(cat)
echo "$CNI_COMMAND $0 $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS netns=$CNI_NETNS $input" >> {log}
[ -e {log}.fail-$CNI_COMMAND ] && {{ echo '{{"code": 11, "msg": "busy", "details": "later"}}'; exit 1; }}
[ "$CNI_COMMAND" = ADD ] && echo '{{"cniVersion": "1.0.0", "ips": [{{"address": "10.0.0.9/24"}}]}}'
exit 0
"""


class Spies:
    def __init__(self, base: Path) -> None:
        self.base, self.log = base, base / "log"
        for name in ("first", "second"):
            (base / name).write_text(SPY.format(log=self.log))
            (base / name).chmod(0o755)
        self.chains = Chains([str(base)], str(base / "cache"))
        plugins = [{"type": "first", "capabilities": {"portMappings": True, "mac": False}}, {"type": "second"}]
        self.config = parse_config(json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": plugins}), "test")

    def said(self) -> list[list[str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [[parts[0], parts[1].rsplit("/", 1)[1], *parts[2:]] for parts in (line.split(" ", 6) for line in lines)]


def test_a_chain_is_run_in_order_and_taken_back_in_reverse(tmp_path: Path) -> None:
    spies = Spies(tmp_path)
    with Namespaces() as spaces:
        where = Attachment("box", spaces.make("n"), "eth0", {"portMappings": [{"hostPort": 1}], "mac": "x"}, {"K": "v"})
        result = spies.chains.add(spies.config, where)
        assert spies.chains.add(spies.config, where) == result
        first, second = spies.said()
        assert first[:5] == ["ADD", "first", "box", "eth0", "K=v"]
        handed = json.loads(first[6])
        assert handed["runtimeConfig"] == {"portMappings": [{"hostPort": 1}]}
        assert (handed["name"], handed["cniVersion"], "capabilities" in handed) == ("n", "1.0.0", False)
        assert "prevResult" not in handed
        assert json.loads(second[6])["prevResult"]["ips"] == [{"address": "10.0.0.9/24"}]
        spies.chains.check(where)
        assert [line[:2] for line in spies.said()] == [["CHECK", "first"], ["CHECK", "second"]]
        spies.chains.delete(where)
        said = spies.said()
        assert [line[:2] for line in said] == [["DEL", "second"], ["DEL", "first"]]
        assert "prevResult" in json.loads(said[0][6])
        assert "runtimeConfig" in json.loads(said[1][6])
        spies.chains.delete(where)
        assert not spies.said()
        with pytest.raises(CniError, match="by CNI"):
            spies.chains.check(where)


def test_a_chain_that_fails_or_was_cut_off_is_taken_back(tmp_path: Path) -> None:
    spies = Spies(tmp_path)
    with Namespaces() as spaces:
        where = Attachment("box", spaces.make("n"), "eth0")
        (tmp_path / "log.fail-ADD").touch()
        with pytest.raises(CniError, match="first failed to ADD: busy \\(later\\)") as error:
            spies.chains.add(spies.config, where)
        assert error.value.code == 11
        assert [line[:2] for line in spies.said()] == [["ADD", "first"], ["DEL", "second"], ["DEL", "first"]]
        (tmp_path / "log.fail-ADD").unlink()
        spies.chains.add(spies.config, where)
        (tmp_path / "log.fail-DEL").touch()
        with pytest.raises(CniError):
            spies.chains.delete(where)
        (tmp_path / "log.fail-DEL").unlink()
        spies.said()
        spaces.drop(where.netns)
        assert spies.chains.sweep({("box", "eth0")}) == []
        assert not spies.said()
        assert spies.chains.sweep(set()) == []
        assert [line[5] for line in spies.said()] == ["netns=", "netns="]
        assert not list((tmp_path / "cache").iterdir())
