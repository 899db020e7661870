"""Both sides, each started once; tests take ``cli`` and run on each."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pyctr import ROOT, Pyctr
from tests.parity.cli import STANDING, Cli
from tests.support.daemon import RunningDaemon
from tests.support.dockerd import DOCKERD, running_dockerd

if TYPE_CHECKING:
    from collections.abc import Iterator

# Docker shows that the suite asks for what Docker does: `make parity`. Its own daemon drops a short container's output
# now and then, which says nothing about us, so the test command asks pyctr alone.
SIDES = ("docker", "pyctr") if os.environ.get("PYCONTAINERD_PARITY") else ("pyctr",)


@contextmanager
def _containerd(directory: Path) -> Iterator[str]:
    """Debian's containerd; yields its socket."""
    config, address = directory / "containerd.toml", str(directory / "c.sock")
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    command = ["containerd", "--config", str(config), "--root", str(directory / "root")]
    command += ["--state", str(directory / "state"), "--address", address]
    with (directory / "containerd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            deadline = time.monotonic() + 20
            while not Path(address).exists():
                assert time.monotonic() < deadline, "containerd did not come up"
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def _docker() -> Iterator[Cli]:
    if not Path(DOCKERD).exists():
        pytest.skip("no dockerd here")
    with tempfile.TemporaryDirectory(prefix="pc-parity-", dir="/tmp") as name, ExitStack() as stack:
        directory = Path(name)
        docker = stack.enter_context(running_dockerd(directory, stack.enter_context(_containerd(directory))))
        config = directory / "client"
        config.mkdir()
        cli = Cli("docker", ["/usr/bin/docker", "--config", str(config), "-H", docker.host])
        archive = str(directory / "busybox.tar")
        maker = [sys.executable, str(ROOT / "scripts/busybox_image.py"), archive, "docker.io/library/busybox:latest"]
        subprocess.run(maker, check=True)
        cli.ok("load", "-q", "-i", archive)
        yield cli


@contextmanager
def _pyctr() -> Iterator[Cli]:
    with RunningDaemon() as daemon:
        program = Pyctr(daemon)
        program.load_busybox()
        yield Cli("pyctr", program.base)


@pytest.fixture(scope="package")
def sides() -> Iterator[dict[str, Cli]]:
    """Both, by name, started when first asked for."""
    with ExitStack() as stack:
        yield _Lazily(stack)


class _Lazily(dict[str, Cli]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, name: str) -> Cli:
        self[name] = self._stack.enter_context({"docker": _docker, "pyctr": _pyctr}[name]())
        return self[name]


@pytest.fixture(params=SIDES, scope="package")
def side(request: pytest.FixtureRequest, sides: dict[str, Cli]) -> Cli:
    """One side for the whole package, so that all its tests run together."""
    if os.geteuid():
        pytest.skip("needs root")
    return sides[request.param]


@pytest.fixture
def cli(side: Cli) -> Iterator[Cli]:
    """The command line; what the test leaves is removed."""
    yield side
    side.clean()


@pytest.fixture(scope="package")
def standing(side: Cli) -> str:
    """A running container that tests only look at, or run commands in."""
    side.ok("run", "-d", "--name", STANDING, "--network", "none", "busybox", "sleep", "100000")
    return STANDING
