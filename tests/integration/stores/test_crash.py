"""Killed at any step, the stores keep what they acknowledged and leave nothing behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pycontainerd.core.digest import of_bytes
from pycontainerd.core.errors import NotFound

from .workload import NAMESPACE, Stores, layer, manifest

ROOT = Path(__file__).resolve().parents[3]
COUNT = 6

POINTS = [
    *(f"database.commit.before=crash@{number}" for number in (1, 3, 9, 20, 33)),
    *(f"database.commit.after=crash@{number}" for number in (2, 8, 21, 34)),
    *(
        f"content.commit.{step}=crash@{number}"
        for step in ("start", "synced", "placed", "committed")
        for number in (1, 6)
    ),
    "content.place.linked=crash@1",
    "content.place.linked=crash@5",
    "content.delete.committed=crash@2",
    "content.abort.committed=crash@1",
    "gc.marked=crash@2",
    "gc.removed=crash@1",
    "content.sweep=crash@1",
    "content.sweep=crash@2",
]


class History:
    """What a child was told, over any number of lives."""

    def __init__(self) -> None:
        self.tried: set[tuple[str, int]] = set()
        self.done: set[tuple[str, int]] = set()

    def add(self, output: bytes) -> None:
        for line in output.decode().splitlines():
            if line.count(" ") == 2:
                word, verb, number = line.split()
                if number.isdigit():
                    (self.tried if word == "try" else self.done).add((verb, int(number)))

    def promised(self, verb: str, undone_by: tuple[str, ...]) -> list[int]:
        """What must be there: acknowledged, and not even begun to be undone."""
        return [n for word, n in self.done if word == verb and not any((undo, n) in self.tried for undo in undone_by)]

    def leased(self, number: int) -> bool:
        """Whether the lease of that pull is still there: the next life goes on with it and may end it."""
        return not any(verb == "unlease" and other >= number for verb, other in self.tried)

    def refused(self, verb: str, undone_by: str) -> list[int]:
        """What must not be there: its removal was acknowledged."""
        return [n for word, n in self.done if word == undone_by and (verb, n) in self.done]


def child(root: Path, first: int, points: str = "") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYCONTAINERD_FAILPOINTS": points}
    argv = [sys.executable, "-m", "tests.integration.stores.workload", str(root), str(first), str(COUNT)]
    return subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def verify(root: Path, history: History) -> None:
    stores = Stores(str(root))
    try:
        assert stores.content.findings.lost == []
        for number in history.promised("image", ("unimage",)):
            assert stores.images.get(NAMESPACE, f"image-{number}").target.digest == of_bytes(manifest(number))
            assert stores.content.read(NAMESPACE, of_bytes(manifest(number))) == manifest(number)
        for number in history.promised("container", ("uncontainer",)):
            assert stores.containers.get(NAMESPACE, f"c{number}").id == f"c{number}"
        for number in history.promised("layer", ("unimage", "delete")):
            if ("image", number) in history.done or history.leased(number):
                assert stores.content.read(NAMESPACE, of_bytes(layer(number))) == layer(number)
        for number in history.refused("image", "unimage"):
            with pytest.raises(NotFound):
                stores.images.get(NAMESPACE, f"image-{number}")
        for number in history.refused("layer", "delete"):
            with pytest.raises(NotFound):
                stores.content.info(NAMESPACE, of_bytes(layer(number)))
        stores.collector.collect()
        known = set()
        for info in stores.content.list(NAMESPACE):
            data = stores.content.read(NAMESPACE, info.digest)
            assert of_bytes(data) == info.digest
            known.add(info.digest.partition(":")[2])
        assert {path.name for path in (root / "content" / "blobs").glob("*/*")} == known
        ingests = len(list((root / "content" / "ingest").iterdir()))
        assert ingests == len(stores.content.statuses(NAMESPACE))
        assert not (root / "content" / "quarantine").exists()
    finally:
        stores.database.close()


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_step(tmp_path: Path, point: str) -> None:
    history = History()
    with child(tmp_path, 0, point) as process:
        history.add(process.communicate(timeout=60)[0])
    assert process.returncode == -signal.SIGKILL, "the point was never reached"
    verify(tmp_path, history)
    with child(tmp_path, 0) as process:  # the same work again, over what is left
        again = History()
        again.add(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    verify(tmp_path, again)


def test_killed_at_any_moment_over_many_lives(tmp_path: Path) -> None:
    history, chance = History(), random.Random(7)
    for life in range(8):
        with child(tmp_path, life * COUNT) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(chance.random() * 0.08)
            process.kill()
            history.add(first + process.stdout.read())
        verify(tmp_path, history)
    assert len(history.done) > 10
