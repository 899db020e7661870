"""Starting us and the peers, each with a root, a state directory and a socket of its own."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(__file__).resolve().parents[1] / ".venv" / "bin"
SCRATCH = os.environ.get("PYCONTAINERD_BENCH_DIR", "/var/tmp")


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Poll until ``ready``; raise RuntimeError naming what did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.05)
    raise RuntimeError(f"{what} did not come up in {seconds:.0f} s")


def succeeds(*argv: str) -> bool:
    """Whether a command exits with 0."""
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process we started, firmly if it has to be."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A directory that is gone afterwards, with every mount below it."""
    path = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=SCRATCH))
    try:
        yield path
    finally:
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for target in sorted((m for m in mounts if m.startswith(f"{path}/")), reverse=True):
            subprocess.run(["umount", "-l", target], check=False)
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running(name: str, argv: list[str], log: Path, ready: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon from its start to its end; its output goes to ``log``."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            wait_for(ready, name)
            yield process
        finally:
            stop(process)


class Daemon:
    """A daemon on its socket, which can be stopped and started again over the same state."""

    def __init__(self, name: str, argv: list[str], address: str, log: Path) -> None:
        self.name, self.address = name, address
        self._argv, self._log = argv, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, without waiting for anything."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def ready(self) -> None:
        """Wait until it answers."""
        wait_for(lambda: succeeds("ctr", "-a", self.address, "version"), self.name, 60)

    def stop(self) -> None:
        """End the process and leave its containers alone. Idempotent."""
        if self._process is not None:
            stop(self._process)
            self._process = None


@contextmanager
def our_daemon(extra: str = "") -> Iterator[Daemon]:
    """Our daemon, with ``extra`` in its configuration."""
    with scratch("ours") as path:
        config = path / "config.toml"
        config.write_text(extra)
        address = str(path / "ours.sock")
        argv = [str(BIN / "pycontainerd"), "--config", str(config), "--root", str(path / "root")]
        argv += ["--state", str(path / "state"), "--address", address, "--log-level", "warn"]
        yield from _served(Daemon("pycontainerd", argv, address, path / "log"))


@functools.cache
def their_name() -> str:
    """The containerd that is found first, and its minor version."""
    words = subprocess.check_output(["containerd", "--version"], text=True).split()
    return "containerd " + ".".join(words[2].lstrip("v").split(".")[:2])


@contextmanager
def their_daemon() -> Iterator[Daemon]:
    """Debian's containerd."""
    with scratch("containerd") as path:
        address = str(path / "c.sock")
        config = path / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{path}/root"\nstate = "{path}/state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{address}"\n'
            f'[ttrpc]\naddress = "{address}.ttrpc"\n'
        )
        argv = ["containerd", "--config", str(config), "--log-level", "warn"]
        yield from _served(Daemon("containerd", argv, address, path / "log"))


def _served(daemon: Daemon) -> Iterator[Daemon]:
    try:
        daemon.start()
        daemon.ready()
        yield daemon
    finally:
        daemon.stop()


@contextmanager
def pycontainerd(extra: str = "") -> Iterator[str]:
    """Our daemon; yields its socket."""
    with our_daemon(extra) as daemon:
        yield daemon.address


@contextmanager
def containerd() -> Iterator[str]:
    """Debian's containerd; yields its socket."""
    with their_daemon() as daemon:
        yield daemon.address


@contextmanager
def dockerd(containerd_address: str) -> Iterator[str]:
    """Debian's dockerd on the given containerd, without networks; yields DOCKER_HOST."""
    with scratch("docker") as path:
        host = f"unix://{path}/d.sock"
        config = path / "daemon.json"
        config.write_text("{}")
        argv = ["/usr/sbin/dockerd", "-H", host, "--containerd", containerd_address, "--data-root", str(path / "data")]
        argv += ["--exec-root", str(path / "exec"), "--pidfile", str(path / "pid"), "--config-file", str(config)]
        argv += ["--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "overlay2"]
        docker = ["/usr/bin/docker", "-H", host]
        with running("dockerd", argv, path / "log", lambda: succeeds(*docker, "version")):
            yield host


@contextmanager
def podman() -> Iterator[list[str]]:
    """Debian's podman with a store of its own; yields the command's beginning."""
    with scratch("podman") as path:
        base = ["podman", "--root", str(path / "root"), "--runroot", str(path / "run"), "--cgroup-manager", "cgroupfs"]
        base += ["--storage-driver", "overlay", "--events-backend", "file", "--tmpdir", str(path / "tmp")]
        yield base
        subprocess.run([*base, "rm", "-fa"], capture_output=True, check=False)
