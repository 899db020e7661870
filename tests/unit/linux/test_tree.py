"""Trees measured, removed and copied."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pycontainerd.linux.copy import copy_tree
from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.linux.tree import Place, directories, disk_usage, remove_tree


def _deep(top: Path, depth: int) -> None:
    """A chain of directories far deeper than a path may be long."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 50, dir_fd=fd)
        inner = os.open("d" * 50, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_usage_counts_the_top_and_hard_links_once(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"x" * 8192)
    os.link(tree / "a", tree / "b")
    (tree / "c").symlink_to("a")

    size, inodes = disk_usage(str(tree))

    assert inodes == 3
    assert size == 8192 + tree.stat().st_blocks * 512 + (tree / "c").lstat().st_blocks * 512


def test_removal_takes_all_and_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("")
    tree = tmp_path / "tree"
    (tree / "x" / "y").mkdir(parents=True)
    (tree / "x" / "link").symlink_to(outside)
    (tree / "x" / "file").write_text("")

    remove_tree(str(tree))
    remove_tree(str(tree))

    assert not tree.exists()
    assert (outside / "keep").exists()


def test_a_directory_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("")
    tree = tmp_path / "tree"
    (tree / "x").mkdir(parents=True)
    walk = directories(Place.top(str(tree)))
    next(walk)
    (tree / "x").rmdir()
    (tree / "x").symlink_to(outside)

    assert [entry.name for _, _, entries in walk for entry in entries] == []


def test_depth_has_no_limit(tmp_path: Path) -> None:
    tree, twin = tmp_path / "tree", tmp_path / "twin"
    tree.mkdir()
    twin.mkdir()
    _deep(tree, 300)

    copy_tree(str(tree), str(twin))

    assert disk_usage(str(twin))[1] == 302
    remove_tree(str(tree))
    remove_tree(str(twin))
    assert not tree.exists()


@pytest.mark.root
def test_removal_stops_at_a_mount(tmp_path: Path) -> None:
    from pycontainerd.core.values import Mount

    tree = tmp_path / "tree"
    inner = tree / "inner"
    inner.mkdir(parents=True)
    mount_all([Mount("tmpfs", "tmpfs")], str(inner))
    try:
        (inner / "keep").write_text("")
        with pytest.raises(OSError, match="cross-device"):
            remove_tree(str(tree))
        assert (inner / "keep").exists()
    finally:
        unmount_all(str(inner))


@pytest.mark.root
def test_a_copy_is_the_same_in_every_respect(tmp_path: Path) -> None:
    tree, twin = tmp_path / "tree", tmp_path / "twin"
    (tree / "dir").mkdir(parents=True)
    twin.mkdir()
    file = tree / "dir" / "file"
    file.write_bytes(b"data")
    os.chown(file, 1, 2)
    file.chmod(0o4755)
    os.setxattr(file, "user.colour", b"green")
    os.setxattr(file, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.link(file, tree / "again")
    (tree / "link").symlink_to("dir/file")
    os.lchown(tree / "link", 3, 4)
    os.setxattr(tree / "link", "trusted.mark", b"1", follow_symlinks=False)
    os.mknod(tree / "whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.mkfifo(tree / "fifo", 0o640)
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
        sparse.seek(512 << 20)
        sparse.write(b"middle")
    for path in (file, tree / "dir", tree / "link"):
        os.utime(path, ns=(1_000_000_001, 2_000_000_002), follow_symlinks=False)
    (tree / "dir").chmod(0o1500)

    copy_tree(str(tree), str(twin))

    assert _facts(twin) == _facts(tree)
    assert (twin / "sparse").stat().st_blocks < 100
    assert (twin / "again").stat().st_ino == (twin / "dir" / "file").stat().st_ino


def _facts(top: Path) -> dict[str, object]:
    facts: dict[str, object] = {}
    for path in [top, *top.rglob("*")]:
        found = path.lstat()
        names = os.listxattr(path, follow_symlinks=False)
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
        content = path.read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size < 1 << 20 else b""
        link = os.readlink(path) if path.is_symlink() else ""
        facts[str(path.relative_to(top))] = (
            found.st_mode, found.st_uid, found.st_gid, found.st_rdev, found.st_nlink, found.st_mtime_ns, attributes,
            content, link,
        )  # fmt: skip
    return facts
