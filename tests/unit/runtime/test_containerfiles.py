"""What a start does about directories of containers that were never made."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pycontainerd.runtime.containerfiles import YOUNG, sweep


def make(path: Path, age: float) -> Path:
    path.mkdir(parents=True)
    (path / "hosts").write_text("127.0.0.1 localhost\n")
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def test_old_directories_without_a_record_go(tmp_path: Path) -> None:
    old, young = YOUNG.total_seconds() + 60, 10
    kept = make(tmp_path / "default/kept", old)
    coming = make(tmp_path / "default/coming", young)
    gone = [make(tmp_path / "default/gone", old), make(tmp_path / "other/kept", old)]
    assert sweep(str(tmp_path), {"default": {"kept"}}) == [str(path) for path in gone]
    assert [path.exists() for path in (kept, coming, *gone)] == [True, True, False, False]


def test_what_is_no_containers_stays(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    stray = tmp_path / "default/file"
    stray.write_text("")
    os.utime(stray, (0, 0))
    assert sweep(str(tmp_path), {}) == []
    assert stray.exists()
    assert sweep(str(tmp_path / "nothing"), {}) == []
