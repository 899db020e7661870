"""The daemon dies in the middle of a pull; the same pull succeeds afterwards, whatever the first one left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import images as make
from tests.support.daemon import RunningDaemon
from tests.support.images import Layer, Member
from tests.support.registry import RegistryServer

pytestmark = pytest.mark.root

PYCTR = Path(sys.executable).parent / "pyctr"


def pyctr(daemon: RunningDaemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PYCTR), "--address", daemon.address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("point", ["pull.fetched", "unpack.extracted", "unpack.committed", "pull.unpacked"])
def test_killed_in_mid_pull(server: RegistryServer, point: str) -> None:
    image = make.build([make.busybox_layer(), Layer.of([Member("extra", data=os.urandom(1000))])])
    reference = server.push(image, f"crash/{point}", "1")
    environment = {"PYCONTAINERD_FAILPOINTS": f"{point}=crash"}
    with RunningDaemon(environment=environment) as daemon:
        assert pyctr(daemon, "pull", reference).returncode != 0
        assert daemon.process is not None
        daemon.process.wait(10)
        environment.clear()
        daemon.start()
        done = pyctr(daemon, "pull", reference)
        assert done.returncode == 0, done.stderr
        ran = pyctr(daemon, "run", "--rm", "--network", "none", reference, "ls", "/extra", "/bin/busybox")
        assert ran.returncode == 0, ran.stderr
