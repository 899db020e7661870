"""What happens to files across layers."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.snapshots.conftest import World

pytestmark = pytest.mark.root


def _base(tree: Path) -> None:
    (tree / "dir" / "sub").mkdir(parents=True)
    (tree / "dir" / "sub" / "file").write_text("lower")
    (tree / "other").write_text("lower")
    (tree / "dir").chmod(0o750)


def test_a_layer_adds_to_its_parent(world: World) -> None:
    world.layer("one", "", _base)
    world.layer("two", "one", lambda tree: (tree / "new").write_text("upper"))

    with world.viewed("two") as tree:
        assert (tree / "dir/sub/file").read_text() == "lower"
        assert (tree / "new").read_text() == "upper"
    with world.viewed("one") as tree:
        assert not (tree / "new").exists()


def test_changing_a_file_leaves_the_parent_alone(world: World) -> None:
    world.layer("one", "", _base)
    world.layer("two", "one", lambda tree: (tree / "other").write_text("upper"))

    with world.viewed("one") as tree:
        assert (tree / "other").read_text() == "lower"
    with world.viewed("two") as tree:
        assert (tree / "other").read_text() == "upper"


def test_a_deleted_file_stays_deleted(world: World) -> None:
    world.layer("one", "", _base)
    world.layer("two", "one", lambda tree: (tree / "other").unlink())
    world.layer("three", "two", lambda tree: (tree / "x").write_text(""))

    with world.viewed("three") as tree:
        assert sorted(path.name for path in tree.iterdir()) == ["dir", "x"]


def test_a_deleted_file_can_come_back(world: World) -> None:
    world.layer("one", "", _base)
    world.layer("two", "one", lambda tree: (tree / "other").unlink())
    world.layer("three", "two", lambda tree: (tree / "other").mkdir())

    with world.viewed("three") as tree:
        assert (tree / "other").is_dir()


def test_a_replaced_directory_is_opaque(world: World) -> None:
    def replace(tree: Path) -> None:
        shutil.rmtree(tree / "dir")
        (tree / "dir").mkdir()
        (tree / "dir" / "fresh").write_text("")

    world.layer("one", "", _base)
    world.layer("two", "one", replace)

    with world.viewed("two") as tree:
        assert [path.name for path in (tree / "dir").iterdir()] == ["fresh"]


def test_a_file_in_place_of_a_directory(world: World) -> None:
    def replace(tree: Path) -> None:
        shutil.rmtree(tree / "dir")
        (tree / "dir").write_text("now a file")

    world.layer("one", "", _base)
    world.layer("two", "one", replace)

    with world.viewed("two") as tree:
        assert (tree / "dir").read_text() == "now a file"


def test_a_directory_moved_across_layers(world: World) -> None:
    world.layer("one", "", _base)
    world.layer("two", "one", lambda tree: shutil.move(tree / "dir", tree / "moved"))

    with world.viewed("two") as tree:
        assert not (tree / "dir").exists()
        assert (tree / "moved/sub/file").read_text() == "lower"


def test_a_file_moved_and_changed_across_layers(world: World) -> None:
    def move(tree: Path) -> None:
        (tree / "other").rename(tree / "dir" / "here")
        (tree / "dir" / "here").write_text("changed")

    world.layer("one", "", _base)
    world.layer("two", "one", move)

    with world.viewed("two") as tree:
        assert (tree / "dir/here").read_text() == "changed"
        assert not (tree / "other").exists()


def test_extended_attributes_and_capabilities_are_kept(world: World) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")

    def mark(tree: Path) -> None:
        _base(tree)
        os.setxattr(tree / "other", "user.colour", b"green")
        os.setxattr(tree / "other", "security.capability", capability)
        os.setxattr(tree / "dir", "user.kind", b"directory")

    world.layer("one", "", mark)
    world.layer("two", "one", lambda tree: (tree / "dir" / "sub").chmod(0o700))

    with world.viewed("two") as tree:
        assert os.getxattr(tree / "other", "user.colour") == b"green"
        assert os.getxattr(tree / "other", "security.capability") == capability
        assert os.getxattr(tree / "dir", "user.kind") == b"directory"


def test_hard_links_of_one_layer_stay_one_file(world: World) -> None:
    def link(tree: Path) -> None:
        _base(tree)
        os.link(tree / "other", tree / "dir" / "link")

    world.layer("one", "", link)
    world.layer("two", "one", lambda tree: (tree / "x").write_text(""))

    with world.viewed("two") as tree:
        assert (tree / "other").stat().st_ino == (tree / "dir/link").stat().st_ino
        assert (tree / "other").stat().st_nlink == 2


def test_owners_modes_and_special_files_are_kept(world: World) -> None:
    def make(tree: Path) -> None:
        _base(tree)
        os.chown(tree / "other", 12, 34)
        (tree / "other").chmod(0o4711)
        os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mkfifo(tree / "fifo")
        (tree / "link").symlink_to("/dir")
        os.utime(tree / "dir", ns=(1, 1_000_000_000))

    world.layer("one", "", make)
    world.layer("two", "one", lambda tree: (tree / "x").write_text(""))

    with world.viewed("two") as tree:
        found = (tree / "other").stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12, 34, 0o4711)
        assert (tree / "null").stat().st_rdev == os.makedev(1, 3)
        assert stat.S_ISFIFO((tree / "fifo").stat().st_mode)
        assert os.readlink(tree / "link") == "/dir"
        assert (tree / "dir").stat().st_mtime_ns == 1_000_000_000
        assert stat.S_IMODE((tree / "dir").stat().st_mode) == 0o750


def test_the_owner_of_the_top_comes_from_the_parent(world: World) -> None:
    world.layer("one", "", lambda tree: os.chown(tree, 56, 78))
    world.layer("two", "one", lambda tree: None)

    with world.viewed("two") as tree:
        assert (tree.stat().st_uid, tree.stat().st_gid) == (56, 78)


def test_a_view_cannot_be_written(world: World) -> None:
    world.layer("one", "", _base)
    world.layer("two", "one", lambda tree: (tree / "x").write_text(""))

    for name in ("one", "two"):
        with world.viewed(name) as tree, pytest.raises(OSError, match="Read-only"):
            (tree / "file").write_text("")


def test_a_view_without_a_parent_is_empty(world: World) -> None:
    with world.viewed("") as tree:
        assert list(tree.iterdir()) == []


def test_a_chain_of_127_layers(world: World) -> None:
    parent = ""
    for number in range(127):
        name = f"layer-{number}"
        key = f"making {name}"
        world.snapshots.prepare("ns", key, parent)
        world.snapshots.commit("ns", name, key)
        parent = name
    with world.mounted(world.snapshots.prepare("ns", "top", parent)) as tree:
        (tree / "works").write_text("yes")
    with world.mounted(world.snapshots.mounts("ns", "top")) as tree:
        assert (tree / "works").read_text() == "yes"
    assert world.snapshots.usage("ns", "top").inodes >= 2
