"""Filesystems in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pycontainerd.linux import diskimage, loop, mountinfo

pytestmark = pytest.mark.root


def test_made_mounted_and_taken_off(tmp_path: Path) -> None:
    image, target = tmp_path / "disk.img", tmp_path / "mnt"
    target.mkdir()
    diskimage.make(str(image), 4 << 20)
    assert image.stat().st_size == 4 << 20
    assert image.stat().st_blocks * 512 < 1 << 20
    assert [path.name for path in tmp_path.iterdir() if path != target] == ["disk.img"]
    try:
        diskimage.mount(str(image), str(target))
        diskimage.mount(str(image), str(target))
        assert os.listdir(target) == []
        assert sum(point.mount_point == str(target) for point in mountinfo.read()) == 1
        device = mountinfo.covering(str(target)).source
        assert loop.backing_file(device) == str(image)
    finally:
        diskimage.unmount(str(target))
        diskimage.unmount(str(target))
    assert loop.backing_file(device) == ""


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError):
        diskimage.make(str(tmp_path / "disk.img"), 4 << 20)
    program = tmp_path / "mkfs.ext4"
    program.write_text("#!/bin/sh\necho no good >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(OSError, match="no good"):
        diskimage.make(str(tmp_path / "disk.img"), 4 << 20)
    assert os.listdir(tmp_path) == ["mkfs.ext4"]
