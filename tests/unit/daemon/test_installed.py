"""Programs that clients install are found first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.daemon.installed import prepare

if TYPE_CHECKING:
    from pathlib import Path


def test_directories_are_made_and_searched_first(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin::/bin"}
    for _ in range(2):
        prepare(str(tmp_path), environment)
        assert environment == {
            "PATH": f"{tmp_path}/opt/bin:/usr/bin:/bin",
            "LD_LIBRARY_PATH": f"{tmp_path}/opt/lib",
        }
    assert sorted(os.listdir(tmp_path / "opt")) == ["bin", "lib"]
    assert (tmp_path / "opt/bin").stat().st_mode & 0o777 == 0o711


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "opt").touch()
    with pytest.raises(InvalidArgument, match="opt/bin"):
        prepare(str(tmp_path), {})
