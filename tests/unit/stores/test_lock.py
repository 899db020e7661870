"""One daemon a root."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import FailedPrecondition
from pycontainerd.stores.lock import RootLock, refuse_orphans

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_daemon_is_told_who_has_the_root(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    first = RootLock(root)
    with pytest.raises(FailedPrecondition, match=f"pid {os.getpid()}"):
        RootLock(root)
    first.close()
    first.close()
    RootLock(root).close()


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    lock = RootLock(str(tmp_path))
    assert not os.get_inheritable(lock._descriptor)
    lock.close()


@pytest.mark.parametrize(
    "data", ["io.containerd.content.v1.content/blobs/sha256/ab", "io.containerd.snapshotter.v1.overlayfs/snapshots/7"]
)
def test_data_without_a_database_is_not_taken_for_garbage(tmp_path: Path, data: str) -> None:
    root, database = str(tmp_path), tmp_path / "meta.db"
    refuse_orphans(root, str(database))
    (tmp_path / data).mkdir(parents=True)
    with pytest.raises(FailedPrecondition, match="restore the database"):
        refuse_orphans(root, str(database))
    database.write_bytes(b"")
    with pytest.raises(FailedPrecondition, match=data.rpartition("/")[2]):
        refuse_orphans(root, str(database))
    database.write_bytes(b"x")
    refuse_orphans(root, str(database))
