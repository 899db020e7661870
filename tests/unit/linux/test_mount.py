"""Mounts performed and taken off on a real kernel."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.values import Mount
from pycontainerd.linux import loop, mountinfo
from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.linux.mountcall import mount

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "target"
    place.mkdir()
    yield place
    unmount_all(str(place))
    unmount_all(str(tmp_path))


def _chain(base: Path, count: int) -> list[str]:
    layers = []
    for number in range(count):
        layer = base / f"snapshots-of-a-rather-long-directory-name/{number}/fs"
        layer.mkdir(parents=True)
        (layer / f"file-{number}").write_text(str(number))
        layers.append(str(layer))
    return layers[::-1]


def test_a_read_only_bind_is_read_only(tmp_path: Path, target: Path) -> None:
    (tmp_path / "source").mkdir()
    mount_all([Mount("bind", str(tmp_path / "source"), "", ("rbind", "ro", "nosuid"))], str(target))

    with pytest.raises(OSError, match="Read-only") as caught:
        (target / "x").write_text("")
    assert caught.value.errno == errno.EROFS
    (tmp_path / "source" / "still-writable").write_text("")
    options = mountinfo.covering(str(target)).options
    assert "nosuid" in options


def test_propagation_options_are_applied(tmp_path: Path, target: Path) -> None:
    mount_all([Mount("bind", str(tmp_path / "target"), "", ("bind", "private"))], str(target))
    assert mountinfo.covering(str(target)).propagation == []
    unmount_all(str(target))
    mount_all([Mount("tmpfs", "tmpfs", "", ("size=64k", "shared"))], str(target))
    assert any(field.startswith("shared:") for field in mountinfo.covering(str(target)).propagation)


def test_a_remount_changes_what_is_mounted(target: Path) -> None:
    mount_all([Mount("tmpfs", "tmpfs", "", ("size=64k",)), Mount("", "", "", ("remount", "ro"))], str(target))

    with pytest.raises(OSError, match="Read-only"):
        (target / "x").write_text("")


def test_failure_takes_off_what_was_mounted(tmp_path: Path, target: Path) -> None:
    mounts = [Mount("tmpfs", "tmpfs"), Mount("bind", str(tmp_path / "missing"), "", ("rbind",))]

    with pytest.raises(FileNotFoundError) as caught:
        mount_all(mounts, str(target))

    assert str(target) in str(caught.value)
    assert not mountinfo.is_mount_point(str(target))


def test_an_unknown_filesystem_names_the_target(target: Path) -> None:
    with pytest.raises(OSError, match="no-such-fs") as caught:
        mount_all([Mount("no-such-fs", "none")], str(target))
    assert caught.value.errno == errno.ENODEV
    assert caught.value.filename == str(target)


def test_a_missing_layer_is_named(tmp_path: Path, target: Path) -> None:
    layers = _chain(tmp_path, 2)
    shutil.rmtree(layers[1])

    with pytest.raises(FileNotFoundError) as caught:
        mount_all([Mount("overlay", "overlay", "", ("lowerdir=" + ":".join(layers),))], str(target))
    assert caught.value.filename == layers[1]


@pytest.mark.parametrize("threads", [0, 1])
def test_127_layers_mount_whether_or_not_there_are_threads(tmp_path: Path, target: Path, threads: int) -> None:
    layers = _chain(tmp_path, 127)
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    options = (f"workdir={tmp_path}/work", f"upperdir={tmp_path}/upper", "lowerdir=" + ":".join(layers))
    overlay = [Mount("overlay", "overlay", "", options)]
    here = os.getcwd()
    if threads:
        release = threading.Event()
        other = threading.Thread(target=release.wait)
        other.start()
        try:
            mount_all(overlay, str(target))
        finally:
            release.set()
            other.join()
    else:
        child = os.fork()  # a process with one thread, whatever the test runner has
        if child == 0:
            try:
                mount_all(overlay, str(target))
                os._exit(0 if os.getcwd() == here else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert os.getcwd() == here
    assert len(list(target.iterdir())) == 127
    (target / "new").write_text("")
    assert (tmp_path / "upper" / "new").exists()


def test_more_options_than_a_page_are_refused(target: Path) -> None:
    with pytest.raises(OSError, match="bytes of options") as caught:
        mount("tmpfs", str(target), "tmpfs", 0, "x" * 5000)
    assert caught.value.errno == errno.E2BIG


def test_a_target_below_resolves_links_inside(tmp_path: Path, target: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "outside").mkdir()
    (target / "link").symlink_to("/outside")

    mount_all([Mount("tmpfs", "tmpfs", "link", ("size=64k",))], str(target))

    assert mountinfo.is_mount_point(str(target / "outside"))
    assert not mountinfo.is_mount_point(str(outside))
    unmount_all(str(target))
    assert not mountinfo.is_mount_point(str(target / "outside"))


def test_unmount_all_takes_stacks_and_children(target: Path) -> None:
    mount_all([Mount("tmpfs", "a"), Mount("tmpfs", "b")], str(target))
    (target / "inner").mkdir()
    mount_all([Mount("tmpfs", "c")], str(target / "inner"))

    unmount_all(str(target))

    assert not mountinfo.is_mount_point(str(target))
    assert not (target / "inner").exists()
    unmount_all(str(target))
    unmount_all(str(target / "never was"))


def test_a_mount_in_use_is_detached_after_a_while(target: Path) -> None:
    mount_all([Mount("tmpfs", "a")], str(target))
    with (target / "open").open("w"):
        unmount_all(str(target))
        assert not mountinfo.is_mount_point(str(target))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(path)], check=True)
    return path


def test_the_loop_option_mounts_a_file_and_leaves_no_device(image: Path, target: Path) -> None:
    mount_all([Mount("ext4", str(image), "", ("loop",))], str(target))
    device = mountinfo.covering(str(target)).source
    assert loop.backing_file(device) == str(image)
    assert (target / "lost+found").is_dir()

    unmount_all(str(target))

    assert loop.backing_file(device) == ""


def test_a_loop_mount_that_fails_leaves_no_device(tmp_path: Path, target: Path) -> None:
    empty = tmp_path / "empty.img"
    empty.write_bytes(bytes(1 << 20))

    with pytest.raises(OSError, match="mount ext4"):
        mount_all([Mount("ext4", str(empty), "", ("loop", "ro"))], str(target))

    devices = os.listdir("/sys/block")
    assert str(empty) not in {loop.backing_file(name) for name in devices if name.startswith("loop")}


def test_a_held_loop_device_is_detached_by_hand(image: Path) -> None:
    device = loop.attach(str(image), read_only=True)
    try:
        device.keep()
        device.close()
        assert loop.backing_file(device.path) == str(image)
    finally:
        loop.detach(device.path)
    loop.detach(device.path)
    loop.detach("/dev/loop-that-never-was")
    assert loop.backing_file(device.path) == ""


def test_an_idmapped_bind_shows_mapped_owners(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("")
    mapping = ("uidmap=0:100000:65536", "gidmap=0:200000:65536")

    mount_all([Mount("bind", str(source), "", ("rbind", "ro", *mapping))], str(target))

    stat = (target / "file").stat()
    assert (stat.st_uid, stat.st_gid) == (100000, 200000)


def test_an_idmapped_overlay_shows_mapped_owners(tmp_path: Path, target: Path) -> None:
    layers = _chain(tmp_path, 2)
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    options = ("uidmap=0:100000:65536", "gidmap=0:100000:65536", f"workdir={tmp_path}/work",
               f"upperdir={tmp_path}/upper", "lowerdir=" + ":".join(layers))  # fmt: skip

    mount_all([Mount("overlay", "overlay", "", options)], str(target))

    assert (target / "file-0").stat().st_uid == 100000
    assert [entry.name for entry in tmp_path.iterdir() if ".lower-" in entry.name] == []
