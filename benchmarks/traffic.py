"""Networks in use: whole commands, what goes through a network, and a thousand times on and off, beside docker and podman.

Each engine works in a network namespace of its own, with its bridge, rules and proxies as they come.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import networks, peers
from benchmarks.report import Report, Row, median

PORT, INNER = 8099, 5201
HOST = "198.51.100.1"
NETWORK = "benchnet"
SECONDS = 2.0

# Takes what comes and says how much it was; what begins with "p" is sent back byte by byte.
SINK = """
import socket, sys
s = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    c, _ = s.accept(); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if c.recv(1) == b"p":
        while d := c.recv(1): c.sendall(d)
    else:
        total, buffer = 0, bytearray(1 << 20)
        while n := c.recv_into(buffer): total += n
        c.sendall(b"%d" % total)
    c.close()
"""
# Prints bytes a second, and the median of a byte's way there and back in microseconds.
SOURCE = """
import socket, sys, time
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def connect(kind):
    s = socket.create_connection((host, port), timeout=10); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(kind); return s
s, data = connect(b"t"), bytes(1 << 20)
began = time.perf_counter()
while time.perf_counter() - began < seconds: s.sendall(data)
s.shutdown(socket.SHUT_WR); total = int(s.recv(99)); rate = total / (time.perf_counter() - began)
s, times = connect(b"p"), []
for _ in range(5000):
    t = time.perf_counter(); s.sendall(b"x"); s.recv(1); times.append(time.perf_counter() - t)
print(rate, 1e6 * sorted(times)[2500])
"""


class Engine:
    """A Docker-like command line (``base``) on a host whose commands begin with ``inside``."""

    def __init__(self, name: str, base: list[str], inside: list[str], image: str, *options: str) -> None:
        self.name, self.base, self.inside, self.image = name, base, inside, image
        self.options = options

    def ok(self, *words: str) -> str:
        """Output of a command that works."""
        done = subprocess.run([*self.base, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name} {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def run_ms(self, *options: str) -> float:
        """Milliseconds of ``run --rm true``."""
        began = time.perf_counter()
        self.ok("run", "--rm", *self.options, *options, self.image, "true")
        return 1000 * (time.perf_counter() - began)

    def start(self, name: str, *options: str) -> str:
        """A container that sleeps; the path of its network namespace."""
        self.ok("run", "-d", "--name", name, "--network", NETWORK, *self.options, *options, self.image, "sleep", "1000")
        return f"/proc/{self.ok('inspect', '-f', '{{.State.Pid}}', name)}/ns/net"

    def address(self, name: str) -> str:
        """Of a container on the network."""
        shown = self.ok("inspect", "-f", "{{json .NetworkSettings.Networks}}", name)
        return str(json.loads(shown)[NETWORK]["IPAddress"])


@contextmanager
def host() -> Iterator[list[str]]:
    """A namespace with an address besides the loopback's."""
    with networks.host() as inside:
        subprocess.run([*inside, "ip", "addr", "add", f"{HOST}/32", "dev", "lo"], check=True)
        yield inside


@contextmanager
def ours(archive: Path) -> Iterator[Engine]:
    """pyctr on our daemon."""
    with host() as inside, peers.scratch("ours") as path:
        address = str(path / "ours.sock")
        argv = [*inside, str(peers.BIN / "pycontainerd"), "--root", str(path / "root"), "--state", str(path / "state")]
        argv += ["--address", address, "--log-level", "warn"]
        with peers.running("pycontainerd", argv, path / "log", lambda: peers.succeeds("ctr", "-a", address, "version")):
            base = [str(peers.BIN / "pyctr"), "--address", address]
            yield from _loaded(Engine("pyctr", base, inside, "bench/busybox:latest"), archive)


@contextmanager
def docker(archive: Path) -> Iterator[Engine]:
    """Debian's docker with its bridge and its proxies."""
    with host() as inside, peers.scratch("docker") as path:
        (path / "daemon.json").write_text("{}")
        address = f"unix://{path}/d.sock"
        argv = [*inside, "/usr/sbin/dockerd", "-H", address, "--data-root", str(path / "data"), "--config-file"]
        argv += [str(path / "daemon.json"), "--exec-root", str(path / "exec"), "--pidfile", str(path / "pid")]
        base = ["/usr/bin/docker", "-H", address]
        with peers.running("dockerd", argv, path / "log", lambda: peers.succeeds(*base, "version")):
            yield from _loaded(Engine("docker", base, inside, "bench/busybox:latest"), archive)


@contextmanager
def podman(archive: Path) -> Iterator[Engine]:
    """Debian's podman with CNI plugins."""
    with host() as inside, peers.podman() as base, peers.scratch("cni") as path:
        base = [*inside, *base, "--network-config-dir", str(path)]
        options = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]  # its own may be refused
        engine = Engine("podman", base, inside, "docker.io/bench/busybox:latest", *options)
        yield from _loaded(engine, archive)


def _loaded(engine: Engine, archive: Path) -> Iterator[Engine]:
    engine.ok("load", "-i", str(archive))
    try:
        engine.ok("network", "create", NETWORK)
        yield engine
    finally:
        left = subprocess.run([*engine.base, "ps", "-aq"], capture_output=True, text=True, check=False).stdout.split()
        if left:
            subprocess.run([*engine.base, "rm", "-f", *left], capture_output=True, check=False)
        subprocess.run([*engine.base, "network", "rm", NETWORK], capture_output=True, check=False)


def commands(engine: Engine, count: int) -> tuple[float, float]:
    """Median milliseconds of ``run --rm true``: without a network; what a bridge and a published port add."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count + 1):
        times[0].append(engine.run_ms("--network", "none"))
        times[1].append(engine.run_ms("-p", f"{PORT}:80"))
    without, with_port = (median(each[1:]) for each in times)
    return without, with_port - without


def traffic(engine: Engine) -> dict[str, tuple[float, float]]:
    """(MB/s, µs there and back) by way: container to container, host to published port, by loopback."""
    server = engine.start("server", "-p", f"{PORT}:{INNER}")
    client = engine.start("client")
    argv = ["nsenter", f"--net={server}", sys.executable, "-c", SINK, str(INNER)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as sink:
        try:
            assert sink.stdout is not None
            sink.stdout.readline()
            return {
                "container to container": _measure(["nsenter", f"--net={client}"], engine.address("server"), INNER),
                "host to published port": _measure(engine.inside, HOST, PORT),
                "host to published port on 127.0.0.1": _measure(engine.inside, "127.0.0.1", PORT),
            }
        finally:
            sink.kill()
            engine.ok("rm", "-f", "server", "client")


def _measure(inside: list[str], address: str, port: int) -> tuple[float, float]:
    argv = [*inside, sys.executable, "-c", SOURCE, address, str(port), str(SECONDS)]
    rate, latency = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    return float(rate) / 1e6, float(latency)


def over_and_over(engine: Engine, count: int) -> tuple[float, float]:
    """Median milliseconds of a connect and a disconnect, by command: of the first tenth and the last.

    Raises RuntimeError when anything is left on the host.
    """
    engine.start("still")
    before: list[int] = []
    times = []
    for turn in range(count + 1):
        if turn == 1:  # the first one may have made the default network
            before = left(engine)
        began = time.perf_counter()
        engine.ok("network", "connect", "bridge", "still")
        engine.ok("network", "disconnect", "bridge", "still")
        times.append(1000 * (time.perf_counter() - began))
    after = left(engine)
    engine.ok("rm", "-f", "still")
    if after != before:
        raise RuntimeError(f"{count} times on and off a network left something:\n{before}\n{after}")
    tenth = max(1, count // 10)
    return median(times[1 : tenth + 1]), median(times[-tenth:])


def left(engine: Engine) -> list[int]:
    """How many links, lines of rules, mounts and named namespaces there are."""
    counted = [[*engine.inside, "ip", "-o", "link"], [*engine.inside, "nft", "list", "ruleset"]]
    outputs = [subprocess.run(argv, capture_output=True, text=True, check=True).stdout for argv in counted]
    outputs.append(Path("/proc/self/mountinfo").read_text())
    return [len([line for line in text.splitlines() if engine.name != "pyctr" or _mine(line)]) for text in outputs]


def _mine(line: str) -> bool:
    """Whether a line can be ours: other programs on the machine mount things meanwhile."""
    return " - " not in line or "bench-ours" in line


def run(report: Report, archive: Path, count: int, cycles: int) -> None:
    """All rows, each engine alone on the machine."""
    found: dict[str, tuple[tuple[float, float], dict[str, tuple[float, float]]]] = {}
    engines: tuple[Callable[[Path], object], ...] = (ours, docker, podman)
    for start in engines:
        with ExitStack() as stack:
            try:
                engine: Engine = stack.enter_context(start(archive))  # type: ignore[arg-type]
                found[engine.name] = (commands(engine, count), traffic(engine))
                if engine.name == "pyctr":
                    first, last = over_and_over(engine, cycles)
            except (RuntimeError, subprocess.SubprocessError) as error:
                if start is ours:
                    raise
                report.note(f"left out: {error}")
    (plain, added), ways = found.pop("pyctr")
    for peer, ((their_plain, their_added), their_ways) in found.items():
        report.add(Row("run --rm true without a network", plain, their_plain, "ms", f"{peer} run"))
        report.add(Row("run --rm -p true, added by bridge and port", added, their_added, "ms", f"{peer} run", "≤ 0.33"))
        for way, (rate, latency) in ways.items():
            report.add(Row(f"{way}, throughput", rate, their_ways[way][0], "MB/s", peer, "≥ 1"))
            report.add(Row(f"{way}, there and back", latency, their_ways[way][1], "µs", peer, "≤ 1"))
    report.add(Row(f"connect and disconnect by command, last of {cycles}", last, first, "ms", "the first"))
