"""The daemon killed at every step of a volume's life: what was acknowledged is there, what was not leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pycontainerd.core.volumes import State, Volume
from pycontainerd.linux import mountinfo
from tests.support.volumes import NS, VolumeWorld

pytestmark = pytest.mark.root
ROOT = Path(__file__).resolve().parents[3]

_VICTIM = """
import os, sys
from pathlib import Path
from pycontainerd.core.volumes import Volume
from tests.support.volumes import NS, VolumeWorld, anonymous, named
world = VolumeWorld(Path(sys.argv[1]))
def done(step):
    print(step, flush=True)
world.volumes.create(NS, Volume("kept"))
(world.data("kept") / "file").write_text("kept")
(world.rootfs / "data").mkdir(exist_ok=True)
for number in range(20):
    (world.rootfs / "data" / str(number)).write_text("from the image")
world.volumes.create(NS, Volume("empty"))
done("start")
world.volumes.create(NS, Volume("bounded", options={"size": "2m"})); done("create")
world.container("web", named("new"), anonymous(remove=True)); done("claim")
world.container("other", named("empty")); done("fill")
world.volumes.rename(NS, "new", "renamed"); done("rename")
world.volumes.clone(NS, "kept", Volume("clone")); done("clone")
world.containers.delete(NS, "web"); done("delete")
world.volumes.remove(NS, "renamed"); done("remove")
"""
_STEPS = ["start", "create", "claim", "fill", "rename", "clone", "delete", "remove"]
_NAMED = {
    "start": {"kept", "empty"},
    "create": {"kept", "empty", "bounded"},
    "claim": {"kept", "empty", "bounded", "new"},
    "fill": {"kept", "empty", "bounded", "new"},
    "rename": {"kept", "empty", "bounded", "renamed"},
    "clone": {"kept", "empty", "bounded", "renamed", "clone"},
    "delete": {"kept", "empty", "bounded", "renamed", "clone"},
    "remove": {"kept", "empty", "bounded", "clone"},
}
_ANONYMOUS = {"claim", "fill", "rename", "clone"}
_POINTS = [
    *(f"volumes.make.record=crash@{number}" for number in (3, 4, 5, 6)),
    *(f"volumes.create.directory=crash@{number}" for number in (3, 4, 5, 6)),
    *(f"volumes.create.row=crash@{number}" for number in (3, 4, 5, 6)),
    *(f"volumes.create.done=crash@{number}" for number in (3, 4, 5, 6)),
    "volumes.create.filled=crash",
    "volumes.claim.filled=crash@1",
    "volumes.claim.filled=crash@2",
    "volumes.rename.row=crash",
    "volumes.rename.moved=crash",
    "volumes.remove.marked=crash@1",
    "volumes.remove.marked=crash@2",
    "volumes.remove.row=crash@1",
    "volumes.remove.row=crash@2",
    "volumes.destroy.data=crash@1",
    "volumes.destroy.data=crash@2",
    *(f"database.commit.before=crash@{number}" for number in range(3, 11)),
    *(f"database.commit.after=crash@{number}" for number in range(3, 11)),
]


@pytest.mark.parametrize("point", _POINTS)
def test_killed_at(tmp_path: Path, point: str) -> None:
    victim = subprocess.run(
        [sys.executable, "-c", _VICTIM, str(tmp_path)],
        env={**os.environ, "PYCONTAINERD_FAILPOINTS": point},
        cwd=ROOT, stdout=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    reached = ["", *victim.stdout.decode().split()][-1]
    assert victim.returncode == -signal.SIGKILL

    world = VolumeWorld(tmp_path)
    try:
        if reached:
            check(world, reached)
        world.reopen()
        names = world.names()
        assert set(names) == set(world.on_disk())
        world.reopen()
        assert world.names() == names  # nothing is left to do the second time
    finally:
        world.end()


def check(world: VolumeWorld, reached: str) -> None:
    later = _STEPS[min(_STEPS.index(reached) + 1, len(_STEPS) - 1)]
    found = {each.volume.name: each for each in world.volumes.list(NS)}
    plain = {name for name in found if len(name) != 64}

    assert plain in (_NAMED[reached], _NAMED[later])
    owners = {container.id for container in world.plain.list(NS)}
    assert (len(found) - len(plain) == 1) is ("web" in owners)
    if reached in _ANONYMOUS and later in _ANONYMOUS:
        assert "web" in owners
    assert set(found) == set(world.on_disk())
    for name, each in found.items():
        assert not each.volume.lost
        assert world.directories.state(NS, name) is State.PLAIN
        for use in each.users:
            assert use.container in owners
    assert (world.data("kept") / "file").read_text() == "kept"
    for name in ("new", "renamed"):
        if name in found:
            assert len(os.listdir(world.data(name))) == 20
    assert len(os.listdir(world.data("empty"))) in {0, 20}
    if "clone" in found:
        assert (world.data("clone") / "file").read_text() == "kept"
    assert mountinfo.below(str(world.root)) == []


def test_killed_in_the_middle_of_filling_a_volume_that_was_there(tmp_path: Path) -> None:
    world = VolumeWorld(tmp_path)
    try:
        world.volumes.create(NS, Volume("empty"))
        world.directories.mark(NS, "empty", State.FILLING)
        (world.data("empty") / "piece").touch()
        world.reopen()
        assert os.listdir(world.data("empty")) == []
        assert world.directories.state(NS, "empty") is State.PLAIN
    finally:
        world.end()
