"""The daemon's copies of OCI runtimes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pycontainerd.runtime.programs import Programs


def test_one_copy_serves_until_the_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shutil.copy("/bin/true", tmp_path / "runtime")
    programs = Programs()
    first = programs.get("runtime")
    assert first is not None
    assert first.path == str(tmp_path / "runtime")
    assert programs.get(first.path) is first
    (tmp_path / "new").write_bytes(Path("/bin/false").read_bytes())
    (tmp_path / "new").chmod(0o755)
    (tmp_path / "new").rename(tmp_path / "runtime")
    second = programs.get("runtime")
    assert second is not None
    assert second is not first


def test_what_cannot_be_copied_is_run_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "wrapper").write_text("#!/bin/sh\n")
    (tmp_path / "wrapper").chmod(0o755)
    assert Programs().get("wrapper") is None
    assert Programs().get("missing") is None
