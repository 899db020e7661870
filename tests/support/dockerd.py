"""dockerd on a containerd socket of our choice, with everything of its own below one directory.

It is Debian's, unless the environment names another: ``PYCONTAINERD_TEST_DOCKERD`` is the path of a dockerd,
``PYCONTAINERD_TEST_DOCKER`` that of the client that goes with it. What it needs beside itself (docker-proxy,
docker-init) is looked for in its directory first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.daemon import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCRIPT = ROOT / "scripts" / "busybox_image.py"
IMAGE = "interop/busybox:latest"
DOCKERD = "/usr/sbin/dockerd"
DOCKER = "/usr/bin/docker"


@dataclass(frozen=True)
class Edition:
    """A dockerd and its client. ``containerd_store``: images are kept in containerd, not in dockerd's graph driver."""

    dockerd: str = DOCKERD
    docker: str = DOCKER
    containerd_store: bool = False

    @property
    def missing(self) -> str:
        """Why it cannot be tried here; empty when it can."""
        if not self.dockerd or not self.docker:
            return "PYCONTAINERD_TEST_DOCKERD and PYCONTAINERD_TEST_DOCKER name no other dockerd"
        absent = [path for path in (self.dockerd, self.docker) if not os.access(path, os.X_OK)]
        return f"{absent[0]} is missing" if absent else ""


_OTHER = (os.environ.get("PYCONTAINERD_TEST_DOCKERD", ""), os.environ.get("PYCONTAINERD_TEST_DOCKER", ""))
EDITIONS = {
    "debian": Edition(),
    "other": Edition(*_OTHER),
    "other-containerd-store": Edition(*_OTHER, containerd_store=True),
}


class Docker:
    """The docker command line pointed at one daemon."""

    def __init__(self, host: str, program: str = DOCKER) -> None:
        self.host, self.program = host, program

    def argv(self, *args: str) -> list[str]:
        """The whole command line, for callers that need a terminal or a background process."""
        return [self.program, "-H", self.host, *args]

    def __call__(
        self, *args: str, check: bool = True, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(*args), capture_output=True, text=True, input=stdin, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, f"docker {' '.join(args)}: {done.stderr}"
        return done


@contextmanager
def running_dockerd(directory: Path, containerd_address: str, edition: Edition | None = None) -> Iterator[Docker]:
    """Start dockerd without networks of its own; yield its client; stop it and unmount what it left."""
    edition = edition or EDITIONS["debian"]
    host = f"unix://{directory}/docker.sock"
    argv = [edition.dockerd, "-H", host, "--containerd", containerd_address, "--data-root", str(directory / "data")]
    config = directory / "daemon.json"
    config.write_text(json.dumps({"features": {"containerd-snapshotter": True}} if edition.containerd_store else {}))
    argv += ["--exec-root", str(directory / "exec"), "--pidfile", str(directory / "pid"), "--config-file", str(config)]
    argv += ["--bridge", "none", "--iptables=false", "--ip6tables=false"]
    argv += [] if edition.containerd_store else ["--storage-driver", "overlay2"]
    docker = Docker(host, edition.docker)
    environment = {**os.environ, "PATH": f"{os.path.dirname(edition.dockerd)}:{os.environ['PATH']}"}
    with (directory / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
        )
        try:
            deadline = time.monotonic() + 30
            while docker("version", check=False).returncode != 0:
                assert process.poll() is None, (directory / "dockerd.log").read_text()[-2000:]
                assert time.monotonic() < deadline, "dockerd did not come up"
                time.sleep(0.1)
            yield docker
        finally:
            leftovers = docker("ps", "-aq", check=False).stdout.split()
            if leftovers:
                docker("rm", "-f", *leftovers, check=False)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def load_small_image(docker: Docker, directory: Path) -> None:
    """Load `IMAGE`, a busybox that is made in the directory."""
    archive = directory / "busybox.tar"
    subprocess.run([sys.executable, str(SCRIPT), str(archive), IMAGE], check=True)
    docker("load", "-i", str(archive))


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)
