"""A daemon on a disk that is full: one sentence a failure, nothing left behind, and it can always make room again."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pyctr import Pyctr
from tests.support.daemon import ROOT, RunningDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of a busybox image, 2 MB."""
    path = tmp_path / "busybox.tar"
    maker = [sys.executable, str(ROOT / "scripts/busybox_image.py"), str(path), "docker.io/library/busybox:latest"]
    subprocess.run(maker, check=True)
    return path


class SmallDaemon(RunningDaemon):
    """A daemon whose root is a tmpfs of its own."""

    def __init__(self, size: str) -> None:
        super().__init__()
        self.root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.root)], check=True)

    def used(self) -> int:
        """Bytes in use on the small disk."""
        line = subprocess.run(["df", "-k", str(self.root)], check=True, capture_output=True, text=True).stdout
        return int(line.splitlines()[1].split()[2]) * 1024

    def settle(self, limit: int) -> None:
        """Wait until no more than ``limit`` bytes are in use."""
        deadline = time.monotonic() + 10
        while self.used() > limit:
            assert time.monotonic() < deadline, f"{self.used()} bytes stay in use: {self.files()}"
            time.sleep(0.1)

    def files(self) -> list[str]:
        """What fills it."""
        return [f"{path.relative_to(self.root)} {path.stat().st_size}" for path in self.root.rglob("*")]


@pytest.fixture(params=["3m", "5m", "12m"])
def small(request: pytest.FixtureRequest) -> Iterator[SmallDaemon]:
    """Too small for the blob, for the blob and its unpacked tree, and large enough."""
    with SmallDaemon(request.param) as daemon:
        yield daemon


def test_an_image_that_does_not_fit_leaves_nothing(small: SmallDaemon, archive: Path) -> None:
    pyctr, before = Pyctr(small), small.used()
    load = pyctr.run("load", "-i", str(archive))
    if load.returncode == 0:
        pyctr.ok("rmi", "busybox")
    else:
        assert load.returncode == 1
        assert b"no space left on" in load.stderr
        assert load.stderr.count(b"\n") == 1
    small.settle(before + (1 << 20))  # the metadata's log has grown meanwhile
    assert small.ctr("content", "active").stdout.split() == ["REF", "SIZE", "AGE"]
    assert small.ctr("content", "ls", "-q").stdout == ""
    assert small.ctr("snapshots", "ls").stdout.split() == ["KEY", "PARENT", "KIND"]
    assert small.ctr("leases", "ls", "-q").stdout == ""
    assert "Traceback" not in small.output()


def test_room_can_be_made_when_not_a_block_is_left(archive: Path) -> None:
    with SmallDaemon("12m") as small:
        pyctr = Pyctr(small)
        pyctr.ok("load", "-i", str(archive))
        pyctr.ok("run", "-d", "--name", "one", "--network", "none", "busybox", "sleep", "1000")
        small.ctr("namespaces", "create", "spare")
        (small.root / "filler").write_bytes(b"")
        subprocess.run(["dd", "if=/dev/zero", f"of={small.root}/filler", "bs=4k"], check=False, capture_output=True)
        full = small.used()
        assert "no space left on its disk: free some" in pyctr.fails(1, "tag", "busybox", "more")
        assert "space" in pyctr.fails(125, "run", "--rm", "--network", "none", "busybox", "true")
        assert "no space left" in small.ctr("namespaces", "create", "new", check=False).stderr
        assert pyctr.ok("exec", "one", "echo", "alive") == "alive"
        pyctr.ok("rm", "-f", "one")
        small.ctr("namespaces", "rm", "spare")
        pyctr.ok("rmi", "busybox")
        small.settle(full - (3 << 20))
        (small.root / "filler").unlink()
        small.kill()
        small.start()
        pyctr.ok("load", "-i", str(archive))
        assert pyctr.ok("run", "--rm", "--network", "none", "busybox", "echo", "again") == "again"
