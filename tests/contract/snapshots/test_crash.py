"""The daemon killed at every step: what was acknowledged is there, what was not leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pycontainerd.core.errors import AlreadyExists
from pycontainerd.core.snapshots import Kind
from tests.contract.snapshots.conftest import World

pytestmark = pytest.mark.root

_VICTIM = """
import sys
from pathlib import Path
from tests.contract.snapshots.conftest import World
world = World(Path(sys.argv[1]), sys.argv[2])
for step in ("prepare", "commit", "prepare-top", "remove"):
    if step == "prepare":
        world.snapshots.prepare("ns", "key", "base")
    elif step == "commit":
        world.snapshots.commit("ns", "name", "key")
    elif step == "prepare-top":
        world.snapshots.prepare("ns", "top", "name")
    else:
        world.snapshots.remove("ns", "top")
    print(step, flush=True)
"""
_POINTS = [
    "snapshot.prepare.dir=crash",
    "snapshot.prepare.dir=crash@2",
    "snapshot.prepare.row=crash",
    "snapshot.commit.measured=crash",
    "snapshot.commit.row=crash",
    "snapshot.remove.row=crash",
    "snapshot.remove.renamed=crash",
    "database.commit.before=crash@2",
    "database.commit.before=crash@3",
    "database.commit.after=crash@3",
    "database.commit.after=crash@4",
]
_AFTER = {
    "": {"base"},
    "prepare": {"base", "key"},
    "commit": {"base", "name"},
    "prepare-top": {"base", "name", "top"},
    "remove": {"base", "name"},
}
_NEXT = {"": "prepare", "prepare": "commit", "commit": "prepare-top", "prepare-top": "remove", "remove": "remove"}


@pytest.fixture
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    world = World(tmp_path, request.param)
    world.layer("base", "", lambda tree: (tree / "file").write_text("kept"))
    world.close()
    return tmp_path


@pytest.mark.parametrize("point", _POINTS)
@pytest.mark.parametrize(("base", "driver"), [("overlayfs", "overlayfs"), ("native", "native")], indirect=["base"])
def test_killed_at(base: Path, driver: str, point: str) -> None:
    environment = {**os.environ, "PYCONTAINERD_FAILPOINTS": point}
    victim = subprocess.run(
        [sys.executable, "-c", _VICTIM, str(base), driver],
        env=environment, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    assert victim.returncode == -signal.SIGKILL
    done = ["", *victim.stdout.decode().split()][-1]

    world = World(base, driver)
    try:
        names = {info.name: info for info in world.snapshots.list("ns")}
        assert set(names) in (_AFTER[done], _AFTER[_NEXT[done]])  # what was not acknowledged may have happened
        world.snapshots.sweep()
        assert len(world.directories()) == len(names)
        for name, info in names.items():
            if info.kind is Kind.ACTIVE:
                with world.mounted(world.snapshots.mounts("ns", name)) as tree:
                    assert (tree / "file").read_text() == "kept"
        world.layer("later", "base", lambda tree: (tree / "more").write_text(""))
    finally:
        world.close()


def test_of_many_who_want_a_key_one_gets_it(world: World) -> None:
    world.layer("one", "", lambda tree: (tree / "a").write_text("1"))
    there = world.directories()
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            world.snapshots.prepare("ns", "key", "one")
            outcomes.append("made")
        except AlreadyExists:
            outcomes.append("exists")

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["exists"] * 7 + ["made"]
    assert len(world.directories()) == len(there) + 1


def test_many_at_once_and_a_sweep_between_them(world: World) -> None:
    world.layer("one", "", lambda tree: (tree / "a").write_text("1"))

    def work(number: int) -> None:
        for turn in range(10):
            key = f"{number}-{turn}"
            world.snapshots.prepare("ns", key, "one")
            if turn % 2:
                world.snapshots.remove("ns", key)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        world.snapshots.sweep()
    for thread in threads:
        thread.join()

    names = [info.name for info in world.snapshots.list("ns")]
    assert len(names) == 4 * 5 + 1
    assert len(world.directories()) == len(names)
    for name in names:
        if name != "one":
            with world.mounted(world.snapshots.mounts("ns", name)) as tree:
                assert (tree / "a").read_text() == "1"


def test_a_restart_sweeps_by_itself(world: World) -> None:
    world.snapshots.prepare("ns", "key")
    world.driver.prepare("9", [], Kind.ACTIVE, {})

    world.restart()
    world.snapshots.close()  # waits for what it does in the background

    assert world.directories() == {"1"}
