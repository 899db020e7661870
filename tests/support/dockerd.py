"""Debian's dockerd on a containerd socket of our choice, with everything of its own below one directory."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCKERD = "/usr/sbin/dockerd"
DOCKER = "/usr/bin/docker"


class Docker:
    """The docker command line pointed at one daemon."""

    def __init__(self, host: str) -> None:
        self.host = host

    def argv(self, *args: str) -> list[str]:
        """The whole command line, for callers that need a terminal or a background process."""
        return [DOCKER, "-H", self.host, *args]

    def __call__(
        self, *args: str, check: bool = True, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(*args), capture_output=True, text=True, input=stdin, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, f"docker {' '.join(args)}: {done.stderr}"
        return done


@contextmanager
def running_dockerd(directory: Path, containerd_address: str) -> Iterator[Docker]:
    """Start dockerd without networks of its own; yield its client; stop it and unmount what it left."""
    host = f"unix://{directory}/docker.sock"
    argv = [DOCKERD, "-H", host, "--containerd", containerd_address, "--data-root", str(directory / "data")]
    config = directory / "daemon.json"
    config.write_text("{}")
    argv += ["--exec-root", str(directory / "exec"), "--pidfile", str(directory / "pid"), "--config-file", str(config)]
    argv += ["--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "overlay2"]
    docker = Docker(host)
    with (directory / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
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
