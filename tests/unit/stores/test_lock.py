"""One daemon a root."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import FailedPrecondition
from pycontainerd.stores.lock import RootLock

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
