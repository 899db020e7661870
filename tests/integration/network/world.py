"""A host of its own for a daemon: a network namespace with an uplink to a second one, which plays everybody else.

The daemon and all it makes live in the first namespace, so nothing of it shows on the machine that runs the tests, and
deleting the namespace deletes it all.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containers.v1 import containers_pb2
from pycontainerd.api.networks.v1 import networks_pb2 as pb
from pycontainerd.api.tasks.v1 import tasks_pb2
from pycontainerd.core.network import EXTENSION, TYPE_URL
from pycontainerd.network.ground import table_of, tag_of
from tests.support.daemon import ROOT, RunningDaemon
from tests.support.stubs import Stub, connect

SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
UPLINK, OTHER = "198.51.100.1", "198.51.100.2"
UPLINK6, OTHER6 = "2001:db8:1::1", "2001:db8:1::2"
NAMESPACE = "nets"

# Answers each connection and each datagram with the sender's address as it sees it.
SERVER = """
import socket, sys, threading
port = int(sys.argv[1])
def tcp(family, address):
    s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, port)); s.listen(64)
    while True:
        c, a = s.accept(); c.sendall(a[0].encode()); c.close()
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", port))
    while True:
        d, a = s.recvfrom(99); s.sendto(a[0].encode(), a)
for target in ((tcp, socket.AF_INET, "0.0.0.0"), (tcp, socket.AF_INET6, "::"), (udp,)):
    threading.Thread(target=target[0], args=target[1:], daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
CLIENT = """
import socket, sys
host, port, proto = sys.argv[1:]
kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind); s.settimeout(1.5)
try:
    s.connect((host, int(port)))
    if proto == "udp": s.send(b"x")
    print(s.recv(99).decode())
except OSError as error: print(type(error).__name__)
"""


class NetDaemon(RunningDaemon):
    """A daemon in the world's first namespace."""

    def __init__(self, world: World, **settings: Any) -> None:
        super().__init__(**settings)
        self._world = world
        self.channel: grpc.Channel | None = None
        self.failpoints = ""

    def start(self, *, wait: bool = True) -> NetDaemon:
        command = ["nsenter", f"--net={self._world.path}", sys.executable, "-m", "pycontainerd.daemon.main"]
        command += ["--config", str(self.config), "--root", str(self.root), "--state", str(self.state)]
        command += ["--address", self.address, "--log-level", "debug"]
        environment = {**os.environ, "PYCONTAINERD_FAILPOINTS": self.failpoints}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        if wait:
            self.wait_ready()
            self.channel = connect(self.address)
        return self

    def _end(self, number: Any, timeout: float) -> int:
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        return super()._end(number, timeout)

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def stub(self, service: str) -> Stub:
        assert self.channel is not None
        return Stub(self.channel, service, namespace=NAMESPACE)

    @property
    def networks(self) -> Stub:
        return self.stub("pycontainerd.networks.v1.Networks")

    @property
    def containers(self) -> Stub:
        return self.stub("containerd.services.containers.v1.Containers")

    @property
    def tasks(self) -> Stub:
        return self.stub("containerd.services.tasks.v1.Tasks")

    def create(self, id: str, extension: dict[str, Any] | None, args: Sequence[str] = ("sleep", "1000")) -> None:
        """A container record with a spec of busybox."""
        spec = make_spec(self._world.rootfs, f"/{self.base.name}/{id}", args)
        container = containers_pb2.Container(
            id=id,
            runtime=containers_pb2.Container.Runtime(name="io.containerd.runc.v2"),
            spec=AnyMessage(type_url=SPEC, value=json.dumps(spec).encode()),
        )
        if extension is not None:
            container.extensions[EXTENSION].type_url = TYPE_URL
            container.extensions[EXTENSION].value = json.dumps(extension).encode()
        self.containers.Create(containers_pb2.CreateContainerRequest(container=container))

    def start_task(self, id: str) -> int:
        """Make and start the container's task; its pid."""
        made = self.tasks.Create(tasks_pb2.CreateTaskRequest(container_id=id))
        self.tasks.Start(tasks_pb2.StartRequest(container_id=id))
        return int(made.pid)

    def run(self, id: str, extension: dict[str, Any] | None = None, args: Sequence[str] = ("sleep", "1000")) -> int:
        """Create and start."""
        self.create(id, {} if extension is None else extension, args)
        return self.start_task(id)

    def stop_task(self, id: str, *, delete: bool = True) -> None:
        """Kill the task, wait for its end, delete it."""
        with contextlib.suppress(grpc.RpcError):
            self.tasks.Kill(tasks_pb2.KillRequest(container_id=id, signal=9, all=True))
        self.tasks.Wait(tasks_pb2.WaitRequest(container_id=id))
        if delete:
            self.tasks.Delete(tasks_pb2.DeleteTaskRequest(container_id=id))

    def remove(self, *ids: str) -> None:
        """Remove containers with their tasks."""
        for name in ids:
            with contextlib.suppress(grpc.RpcError):
                self.stop_task(name)
            self.containers.Delete(containers_pb2.DeleteContainerRequest(id=name))

    def sandbox(self, id: str) -> pb.Sandbox:
        """What the service says of a container's network."""
        (found,) = self.networks.Sandboxes(pb.ListSandboxesRequest(containers=[id])).sandboxes
        return found  # type: ignore[no-any-return]

    def address_of(self, id: str, network: str = "bridge") -> str:
        """A container's IPv4 address on a network."""
        return next(item.ipv4 for item in self.sandbox(id).endpoints if item.network_name == network)

    def netns(self, id: str) -> str:
        return f"{self.state}/netns/{NAMESPACE}/{id}"


class World:
    """Two network namespaces with a cable between them."""

    def __init__(self, base: Path) -> None:
        self.name = f"pcw{os.getpid()}{os.urandom(2).hex()}"
        self.other_name = f"{self.name}o"
        self.path, self.other = f"/run/netns/{self.name}", f"/run/netns/{self.other_name}"
        self.rootfs = str(base / "rootfs")
        self._servers: list[subprocess.Popen[str]] = []
        make_rootfs(self.rootfs)

    def open(self) -> None:
        for name in (self.name, self.other_name):
            run("ip", "netns", "add", name)
        run(
            "ip", "-n", self.name, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", self.other_name
        )
        for name, v4, v6 in ((self.name, UPLINK, UPLINK6), (self.other_name, OTHER, OTHER6)):
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", "up0", "up")
            run("ip", "-n", name, "addr", "add", f"{v4}/24", "dev", "up0")
            run("ip", "-n", name, "addr", "add", f"{v6}/64", "dev", "up0", "nodad")
        run("ip", "-n", self.name, "route", "add", "default", "via", OTHER)
        run("ip", "-n", self.name, "-6", "route", "add", "default", "via", OTHER6)

    def close(self) -> None:
        for server in self._servers:
            _end(server)
        for name in (self.name, self.other_name):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def serve(self, netns: str, port: int) -> None:
        """Have something listen in a namespace until the world ends."""
        argv = ["nsenter", f"--net={netns}", sys.executable, "-c", SERVER, str(port)]
        server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._servers.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

    @contextlib.contextmanager
    def listening(self, netns: str, port: int) -> Iterator[None]:
        """Have something listen in a namespace for a while."""
        self.serve(netns, port)
        try:
            yield
        finally:
            _end(self._servers.pop())

    def ask(self, netns: str, host: str, port: int, proto: str = "tcp") -> str:
        """What a server answers: the address it sees; the name of an error when it does not."""
        return run("nsenter", f"--net={netns}", sys.executable, "-c", CLIENT, host, str(port), proto).strip()

    def links(self) -> dict[str, str]:
        """Aliases of the host's links by name."""
        found = json.loads(run("ip", "-n", self.name, "-j", "link", "show"))
        return {link["ifname"]: link.get("ifalias", "") for link in found}

    def ruleset(self) -> str:
        return run("nsenter", f"--net={self.path}", "nft", "list", "ruleset")

    def elements(self, daemon: NetDaemon, name: str) -> list[Any]:
        """The elements of one of the daemon's sets or maps."""
        table = table_of(str(daemon.root))
        text = run("nsenter", f"--net={self.path}", "nft", "-j", "list", "table", "inet", table)
        for item in json.loads(text)["nftables"]:
            found = item.get("set") or item.get("map")
            if found and found["name"] == name:
                return list(found.get("elem", []))
        return []

    def agree(self, daemon: NetDaemon) -> None:
        """Assert that rows, links, namespaces, rules and held ports say the same."""
        networks = daemon.networks.List(pb.ListNetworksRequest()).networks
        sandboxes = daemon.networks.Sandboxes(pb.ListSandboxesRequest()).sandboxes
        active = [sandbox for sandbox in sandboxes if sandbox.active]
        prefix = f"pycontainerd:{tag_of(str(daemon.root))}:"
        wanted = {f"{prefix}network:{network.id}" for network in networks}
        wanted |= {f"{prefix}endpoint:{item.id}" for sandbox in active for item in sandbox.endpoints}
        deadline = time.monotonic() + 5  # namespaces take their links along in their own time
        while (mine := {alias for alias in self.links().values() if alias.startswith(prefix)}) != wanted:
            assert time.monotonic() < deadline, f"links {mine} are not {wanted}"
            time.sleep(0.05)
        named = Path(daemon.state, "netns", NAMESPACE)
        paths = {path.name for path in named.iterdir()} if named.exists() else set()
        assert paths == {sandbox.container for sandbox in active}
        ports = [port for sandbox in active for port in sandbox.ports]
        rules = self.elements(daemon, "any4") + self.elements(daemon, "ports4")
        assert len(rules) == len([port for port in ports if ":" not in port.host_ip])
        assert len(self.elements(daemon, "bridges")) == len([n for n in networks if n.link])


def _end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()
    for stream in (server.stdin, server.stdout):
        if stream is not None:
            stream.close()


def run(*argv: str) -> str:
    """The output of a program that must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


def make_rootfs(path: str) -> None:
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        os.makedirs(f"{path}/{name}")
    shutil.copy("/bin/busybox", f"{path}/bin/busybox")
    for name in ("sh", "sleep", "true", "nc", "ip", "wget", "ping", "echo", "cat"):
        os.symlink("busybox", f"{path}/bin/{name}")


def make_spec(rootfs: str, cgroup: str, args: Sequence[str]) -> dict[str, Any]:
    """A small OCI spec: busybox as root, all namespaces, no limits."""
    capabilities = ["CAP_KILL", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": rootfs, "readonly": True},
        "process": {
            "cwd": "/",
            "args": list(args),
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        },
    }


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    """The status code's name."""
    return str(error.value.code().name)


def details(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return str(error.value.details())


@contextlib.contextmanager
def world_at(base: Path) -> Iterator[World]:
    world = World(base)
    try:
        world.open()
        yield world
    finally:
        world.close()
