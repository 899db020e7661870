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
        forgets(daemon, reference)


def forgets(daemon: RunningDaemon, reference: str) -> None:
    """Once the image is removed nothing of any attempt is left."""
    assert pyctr(daemon, "rmi", reference).returncode == 0
    assert daemon.ctr("leases", "ls", "-q").stdout == ""
    assert daemon.ctr("content", "ls", "-q").stdout == ""
    assert daemon.ctr("content", "active").stdout.split() == ["REF", "SIZE", "AGE"]
    assert daemon.ctr("snapshots", "ls").stdout.split() == ["KEY", "PARENT", "KIND"]


@pytest.mark.parametrize("point", ["content.write", "content.commit.synced", "unpack.extracted", "unpack.committed"])
def test_killed_in_mid_load(tmp_path: Path, point: str) -> None:
    image = make.build([make.busybox_layer(), Layer.of([Member("extra", data=os.urandom(1000))])])
    archive = tmp_path / "image.tar"
    archive.write_bytes(make.oci_archive({"docker.io/library/crash:1": image}))
    environment = {"PYCONTAINERD_FAILPOINTS": f"{point}=crash"}
    with RunningDaemon(environment=environment) as daemon:
        assert pyctr(daemon, "load", "-i", str(archive)).returncode != 0
        assert daemon.process is not None
        daemon.process.wait(10)
        environment.clear()
        daemon.start()
        assert pyctr(daemon, "load", "-i", str(archive)).returncode == 0
        ran = pyctr(daemon, "run", "--rm", "--network", "none", "crash:1", "ls", "/extra")
        assert ran.returncode == 0, ran.stderr
        forgets(daemon, "crash:1")
