"""Two programs on two hosts of their own, to do the same things with: pyctr on our daemon, Debian's docker on its own.

A host is a network namespace with an uplink to a second one that plays everybody else, so that bridges, rules and
published ports of either program show nowhere on the machine that runs the tests.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.pyctr import Pyctr
from tests.integration.network.world import NetDaemon, World, run, world_at
from tests.support.dockerd import DOCKER, DOCKERD

if TYPE_CHECKING:
    from collections.abc import Iterator

# Prints what a web server answers, or the name of the error.
FETCH = """
import sys, urllib.request, urllib.error
try: print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode(), end="")
except urllib.error.URLError as error: print(type(error.reason).__name__)
except OSError as error: print(type(error).__name__)
"""
WEB = "hostname >/tmp/index.html; exec httpd -f -v -p 80 -h /tmp"


class Docker(Pyctr):
    """The other program."""

    def __init__(self, address: str) -> None:
        self.base = [DOCKER, "-H", address]


class Rig:
    """A program, and the host it works on. ``ours`` tells them apart where they have to differ."""

    def __init__(self, world: World, program: Pyctr, daemon: NetDaemon | None) -> None:
        self.world, self.program, self.daemon = world, program, daemon
        self.ok, self.run, self.fails, self.until = program.ok, program.run, program.fails, program.until

    @property
    def ours(self) -> bool:
        return self.daemon is not None

    def up(self, name: str, *words: str, command: str = "exec sleep 1000") -> str:
        """Run a shell command in a container in the background; its id."""
        return self.ok("run", "-d", "--name", name, "-h", name, *words, "busybox", "sh", "-c", command)

    def web(self, name: str, *words: str) -> str:
        """A container whose web server tells its name; up when it answers itself."""
        made = self.up(name, *words, command=WEB)
        self.until(name, "exec", name, "wget", "-qO-", "http://127.0.0.1/")
        return made

    def fetch(self, url: str, *, other: bool = False) -> str:
        """What a page says to the host, or to the other host."""
        netns = self.world.other if other else self.world.path
        return run("nsenter", f"--net={netns}", sys.executable, "-c", FETCH, url).strip()

    def senders(self, name: str) -> list[str]:
        """The addresses that a web server was asked from, latest last."""
        done = self.run("logs", name)
        lines = (done.stdout + done.stderr).decode().splitlines()
        return [line[1:].partition("]")[0].removeprefix("::ffff:") for line in lines if "response:200" in line]

    def address(self, name: str, network: str) -> str:
        """A container's IPv4 address on a network."""
        networks: dict[str, Any] = json.loads(self.ok("inspect", "-f", "{{json .NetworkSettings.Networks}}", name))
        return str(networks[network]["IPAddress"])

    def pings(self, name: str, target: str) -> bool:
        """Whether a container gets an answer."""
        return self.run("exec", name, "ping", "-c", "1", "-W", "1", target).returncode == 0

    def tidy(self) -> None:
        """No container, no network."""
        self.program.clean()
        self.ok("network", "prune", "-f")

    def returned_to(self, before: dict[str, str]) -> bool:
        """Whether the traces are what they were, once the kernel has taken the links of dead namespaces away."""
        deadline = time.monotonic() + 10
        while (now := self.trace()) != before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert now == before
        return True

    def trace(self) -> dict[str, str]:
        """What the kernel has on this host: links, addresses, rules; namespaces and mounts of the daemon's."""
        inside = ["nsenter", f"--net={self.world.path}"]
        found = {
            "links": "\n".join(sorted(self.world.links())),
            "addresses": run(*inside, "ip", "-o", "-4", "addr"),
            "rules": run(*inside, "nft", "list", "ruleset"),
            "sockets": run(*inside, "ss", "-Hlntu"),
        }
        if self.daemon is not None:
            found["mounts"] = "\n".join(sorted(self.daemon.leftover_mounts()))
            named = Path(self.daemon.state, "netns")
            found["namespaces"] = "\n".join(sorted(str(path) for path in named.rglob("*") if path.is_file()))
        return found


@contextlib.contextmanager
def our_rig(directory: Path) -> Iterator[Rig]:
    """pyctr on our daemon."""
    with world_at(directory) as world:
        daemon = NetDaemon(world)
        try:
            program = Pyctr(daemon.start())
            program.load_busybox()
            rig = Rig(world, program, daemon)
            yield rig
            if daemon.process is None:
                daemon.start()
            rig.tidy()
        finally:
            daemon.close()


@contextlib.contextmanager
def docker_rig(directory: Path) -> Iterator[Rig]:
    """Debian's docker on a dockerd with its bridge, its rules and its proxies as they come."""
    with world_at(directory) as world, dockerd_at(directory, world) as address:
        program = Docker(address)
        program.load_busybox()
        rig = Rig(world, program, None)
        try:
            yield rig
        finally:
            rig.tidy()


@contextlib.contextmanager
def dockerd_at(directory: Path, world: World) -> Iterator[str]:
    """dockerd, with a containerd of its own, in a world; yields its address."""
    address = f"unix://{directory}/d.sock"
    (directory / "daemon.json").write_text("{}")
    argv = ["nsenter", f"--net={world.path}", DOCKERD, "-H", address, "--data-root", str(directory / "data")]
    argv += ["--exec-root", str(directory / "exec"), "--pidfile", str(directory / "pid")]
    argv += ["--config-file", str(directory / "daemon.json"), "--storage-driver", "overlay2"]
    with (directory / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 30
            while subprocess.run([DOCKER, "-H", address, "version"], capture_output=True, check=False).returncode:
                assert process.poll() is None, (directory / "dockerd.log").read_text()[-2000:]
                assert time.monotonic() < deadline, "dockerd did not come up"
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _unmount_below(directory)


def _unmount_below(directory: Path) -> None:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    targets = [line.split()[4] for line in lines if line.split()[4].startswith(f"{directory}/")]
    for target in sorted(targets, reverse=True):
        subprocess.run(["umount", "-l", target], check=False, capture_output=True)
