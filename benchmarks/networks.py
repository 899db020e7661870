"""What a network costs: added to a container's life beside Docker, and with two thousand endpoints and many ports.

Everything runs in a network namespace of its own. The endpoints are namespaces without processes; they are spread over
several networks, since a bridge of Linux has 1023 ports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.cycle import Api
from benchmarks.report import Report, Row, median

IMAGE = "docker.io/bench/busybox:latest"
PORT = 8099
PORTS_EACH = 5
"""Published ports for each endpoint, on average: ten thousand for two thousand."""


@contextmanager
def host() -> Iterator[list[str]]:
    """A network namespace with only a loopback; yields the words that run a command in it."""
    name = f"bench{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield ["nsenter", f"--net=/run/netns/{name}"]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


class NetApi(Api):
    """Containers that carry the network extension."""

    extension: dict[str, Any] | None = None

    def call(self, service: str, method: str, request: Any, response: Any) -> Any:
        """As ever, with the extension put into what is created."""
        if (service, method) == ("containers.v1.Containers", "Create") and self.extension is not None:
            carried = request.container.extensions["io.pycontainerd.network"]
            carried.type_url, carried.value = "io.pycontainerd.v1/Network", json.dumps(self.extension).encode()
        return super().call(service, method, request, response)


def run(report: Report, archive: Path, chain: str, count: int, endpoints: int) -> None:
    """Both parts."""
    with host() as inside:
        ours = added_by_us(inside, archive, chain, count)
        theirs = added_by_docker(inside, archive, count)
        report.add(
            Row("bridge and port, added to a container's life (API; CLI)", ours, theirs, "ms", "docker run", "≤ 0.33")
        )
        with peers.scratch("endpoints") as path:
            argv = [*inside, sys.executable, "-m", "benchmarks.networks", str(path), str(endpoints)]
            done = subprocess.run(argv, check=True, capture_output=True, text=True)
        for what, first, last in json.loads(done.stdout.splitlines()[-1]):
            report.add(Row(f"{what}, at the end and at the start", last, first, "ms", "itself, empty"))


def added_by_us(inside: list[str], archive: Path, chain: str, count: int) -> float:
    """Milliseconds that a bridge and a published port add to create, start, wait and delete."""
    with peers.scratch("ours") as path:
        address = str(path / "ours.sock")
        argv = [*inside, str(peers.BIN / "pycontainerd"), "--root", str(path / "root"), "--state", str(path / "state")]
        argv += ["--address", address, "--log-level", "warn"]
        with peers.running("pycontainerd", argv, path / "log", lambda: peers.succeeds("ctr", "-a", address, "version")):
            load = ["ctr", "-a", address, "-n", "bench", "images", "import", str(archive)]
            subprocess.run(load, check=True, capture_output=True)
            api = NetApi(address)
            ports = {"ports": [{"host_port": PORT, "container_port": 80}]}
            return difference(api, chain, {"mode": "none"}, ports, count)


def difference(api: NetApi, chain: str, without: dict[str, Any], with_: dict[str, Any], count: int) -> float:
    """Median cycle with one extension less that with another, in turns."""
    times: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(2 * (count + 3)):
        api.extension = (without, with_)[turn % 2]
        took = api.cycle(chain)
        if turn >= 6:
            times[turn % 2].append(1000 * took)
    return median(times[1]) - median(times[0])


def added_by_docker(inside: list[str], archive: Path, count: int) -> float:
    """The same for Debian's docker, with its userland proxy as it comes."""
    with peers.scratch("docker") as path:
        (path / "daemon.json").write_text("{}")
        address = f"unix://{path}/d.sock"
        argv = [*inside, "/usr/sbin/dockerd", "-H", address, "--data-root", str(path / "data"), "--config-file"]
        argv += [str(path / "daemon.json"), "--exec-root", str(path / "exec"), "--pidfile", str(path / "pid")]
        docker = ["/usr/bin/docker", "-H", address]
        with peers.running("dockerd", argv, path / "log", lambda: peers.succeeds(*docker, "version")):
            subprocess.run([*docker, "load", "-i", str(archive)], check=True, capture_output=True)
            times: dict[int, list[float]] = {0: [], 1: []}
            for turn in range(2 * (count + 1)):
                network = (["--network", "none"], ["-p", f"{PORT}:80"])[turn % 2]
                began = time.perf_counter()
                command = [*docker, "run", "--rm", *network, "bench/busybox:latest", "true"]
                subprocess.run(command, check=True, capture_output=True)
                if turn >= 2:
                    times[turn % 2].append(1000 * (time.perf_counter() - began))
            return median(times[1]) - median(times[0])


def scale(path: str, endpoints: int) -> list[tuple[str, float, float]]:
    """(what, milliseconds when empty, when full) for one more endpoint and one more port."""
    from pycontainerd.core.containers import Container
    from pycontainerd.core.network import EXTENSION, TYPE_URL, NetworkSpec
    from pycontainerd.core.values import AnyValue
    from pycontainerd.daemon.config import Config
    from pycontainerd.daemon.networking import build_network
    from pycontainerd.stores.containers import Containers
    from pycontainerd.stores.database import Database
    from pycontainerd.stores.schema import STEPS

    database = Database(f"{path}/metadata.db", STEPS)
    containers = Containers(database)
    stack = Closer()
    made = build_network(Config(root=path, state=f"{path}/state"), stack, database, containers)  # type: ignore[arg-type]
    made.sandboxes.recover([])
    networks = [made.networks.create("bench", NetworkSpec(f"n{number}")).network.name for number in range(8)]
    numbers = iter(range(1 << 30))
    alive: list[str] = []

    def one(ports: int = 0) -> float:
        number = next(numbers)
        wanted: list[dict[str, Any]] = [{"host_ip": "127.0.0.1", "container_port": 80}] * ports
        value = json.dumps({"mode": networks[number % len(networks)], "ports": wanted}).encode()
        record = Container(f"c{number}", runtime="none", extensions={EXTENSION: AnyValue(TYPE_URL, value)})
        record = containers.create("bench", record)
        began = time.perf_counter()
        made.sandboxes.prepare("bench", record)
        alive.append(record.id)
        return 1000 * (time.perf_counter() - began)

    def middle(ports: int) -> float:
        return median([one(ports) for _ in range(40)])

    try:
        one(1)
        plain, port = middle(0), middle(1)
        for _ in range(endpoints):
            one()
        full_plain = middle(0)
        for _ in range(PORTS_EACH * endpoints // 500):
            one(500)
        full_port = middle(1)
        return [
            (f"one more endpoint, of {endpoints}", plain, full_plain),
            (f"one more published port, of {PORTS_EACH * endpoints}", port, full_port),
        ]
    finally:
        for name in alive:
            made.sandboxes.released("bench", name)
        stack.close()
        database.close()


class Closer:
    """As much of an exit stack as ``build_network`` needs."""

    def __init__(self) -> None:
        self._callbacks: list[Any] = []

    def callback(self, function: Any, *arguments: Any) -> None:
        """Call it at the end."""
        self._callbacks.append(lambda: function(*arguments))

    def close(self) -> None:
        """The end."""
        for callback in reversed(self._callbacks):
            with suppress(Exception):
                callback()


if __name__ == "__main__":
    print(json.dumps(scale(sys.argv[1], int(sys.argv[2]))))
