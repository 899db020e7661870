from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd.linux.openat2 import RESOLVE_NO_SYMLINKS, open_beneath, open_in_root, openat2


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "secret").write_bytes(b"secret")
    inside = tmp_path / "root"
    (inside / "dir").mkdir(parents=True)
    (inside / "dir/file").write_bytes(b"file")
    for name, target in {
        "good": "dir/file",
        "up": "../secret",
        "abs": "/dir/file",
        "out": str(tmp_path / "secret"),
    }.items():
        (inside / name).symlink_to(target)
    fd = os.open(inside, os.O_PATH)
    yield fd
    os.close(fd)


def content(fd: int) -> bytes:
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


@pytest.mark.parametrize("path", [b"dir/file", b"good", b"dir/../dir/file"])
def test_paths_that_stay_below(root: int, path: bytes) -> None:
    assert content(open_beneath(root, path, os.O_RDONLY)) == b"file"


@pytest.mark.parametrize("path", [b"up", b"abs", b"out", b"../secret", b"/etc/passwd", b"dir/../../secret"])
def test_paths_that_leave(root: int, path: bytes) -> None:
    with pytest.raises(OSError, match="open") as caught:
        open_beneath(root, path, os.O_RDONLY)
    assert caught.value.errno == errno.EXDEV


def test_in_root_everything_is_inside(root: int) -> None:
    for path in (b"/dir/file", b"abs", b"../../dir/file"):
        assert content(open_in_root(root, path, os.O_RDONLY)) == b"file"
    for path in (b"up", b"out"):
        with pytest.raises(FileNotFoundError):
            open_in_root(root, path, os.O_RDONLY)


def test_magic_links_are_not_followed() -> None:
    proc = os.open("/proc/self", os.O_PATH)
    try:
        with pytest.raises(OSError, match="open") as caught:
            open_in_root(proc, b"root/etc", os.O_PATH)
        assert caught.value.errno == errno.ELOOP
    finally:
        os.close(proc)


def test_descriptors_are_not_inherited_and_flags_are_passed_on(root: int) -> None:
    fd = open_beneath(root, b"", os.O_RDONLY | os.O_DIRECTORY)
    assert not os.get_inheritable(fd)
    os.close(fd)
    with pytest.raises(OSError, match="open") as caught:
        openat2(root, b"good", os.O_RDONLY, RESOLVE_NO_SYMLINKS)
    assert caught.value.errno == errno.ELOOP
    assert caught.value.filename == "good"
