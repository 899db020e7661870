"""Volumes on a real disk: made, listed, renamed, cloned, moved, removed; rows and directories kept alike."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import (
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PycontainerdError,
    ResourceExhausted,
)
from pycontainerd.core.volumes import Limit, Volume
from pycontainerd.linux import mountinfo, quota
from pycontainerd.wire import failpoint
from tests.support.filesystems import filesystem, fill
from tests.support.volumes import NS, VolumeWorld, anonymous, named

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


@pytest.fixture
def world(tmp_path: Path) -> Iterator[VolumeWorld]:
    made = VolumeWorld(tmp_path)
    try:
        yield made
    finally:
        failpoint.disarm()
        made.end()


def test_a_volume_is_a_directory_that_outlives_the_daemon(world: VolumeWorld) -> None:
    made = world.volumes.create(NS, Volume("html", labels={"tier": "web", "empty": ""}))
    assert made.mountpoint == str(world.data("html"))
    (world.data("html") / "index").write_text("hello")

    world.reopen()

    found = world.volumes.get(NS, "html", usage=True)
    assert found.volume.labels == {"tier": "web", "empty": ""}
    assert found.users == ()
    assert found.usage is not None
    assert found.usage.inodes == 2
    assert (world.data("html") / "index").read_text() == "hello"
    assert world.data("html").stat().st_mode & 0o777 == 0o755


def test_asking_twice_gives_the_same_volume_unless_it_is_to_be_another(world: VolumeWorld) -> None:
    first = world.volumes.create(NS, Volume("html", options={"size": "4m"}))
    again = world.volumes.create(NS, Volume("html", labels={"later": "1"}))
    assert (again.created_at, again.labels) == (first.created_at, {})
    with pytest.raises(Conflict, match="other options"):
        world.volumes.create(NS, Volume("html", options={"size": "8m"}))
    assert world.volumes.create("other", Volume("html")).mountpoint != first.mountpoint


def test_a_volume_without_a_name_is_anonymous(world: VolumeWorld) -> None:
    made = world.volumes.create(NS, Volume(""))
    assert made.anonymous
    assert len(made.name) == 64


def test_users_keep_a_volume(world: VolumeWorld) -> None:
    world.container("web", named("html", "/srv", readonly=True))

    assert world.volumes.get(NS, "html").users[0].container == "web"
    assert [found.volume.name for found in world.volumes.list(NS, ["dangling=false"])] == ["html"]
    with pytest.raises(Conflict, match=r"volume is in use - \[web\]"):
        world.volumes.remove(NS, "html", force=True)
    world.containers.delete(NS, "web")
    world.volumes.remove(NS, "html")
    assert (world.names(), world.on_disk()) == ([], [])


def test_removing_what_is_not_there(world: VolumeWorld) -> None:
    with pytest.raises(NotFound):
        world.volumes.remove(NS, "html")
    world.volumes.remove(NS, "html", force=True)


def test_prune_takes_the_anonymous_and_all_only_when_asked(world: VolumeWorld) -> None:
    for name in ("one", "two", ""):
        world.volumes.create(NS, Volume(name, labels={"keep": name} if name == "two" else {}))
    world.container("web", named("used"))

    done = world.volumes.prune(NS)
    assert len(done.names) == 1
    assert done.reclaimed > 0
    assert world.volumes.prune(NS, ["label!=keep"], all=True).names == ["one"]
    assert world.names() == ["two", "used"]


def test_a_rename_takes_the_users_along(world: VolumeWorld) -> None:
    world.container("web", named("html", nocopy=True), anonymous("/own"))
    own = world.entries("web")[1]["volume"]
    (world.data("html") / "index").write_text("hello")

    world.volumes.rename(NS, "html", "html-old")
    world.volumes.rename(NS, own, "mine")

    assert world.entries("web") == [
        {"type": "volume", "volume": "html-old", "target": "/data", "nocopy": True},
        {"type": "volume", "volume": "mine", "target": "/own"},
    ]
    assert (world.data("html-old") / "index").read_text() == "hello"
    assert world.names() == world.on_disk() == ["html-old", "mine"]
    assert not world.volumes.get(NS, "mine").volume.anonymous
    with pytest.raises(Conflict):
        world.volumes.rename(NS, "html-old", "mine")
    with pytest.raises(NotFound):
        world.volumes.rename(NS, "html", "other")


def test_a_clone_has_everything(world: VolumeWorld) -> None:
    world.volumes.create(NS, Volume("db"))
    data = world.data("db")
    (data / "sub").mkdir(mode=0o700)
    (data / "sub/file").write_text("rows")
    os.link(data / "sub/file", data / "hard")
    os.symlink("/etc/passwd", data / "soft")
    os.setxattr(data / "hard", "user.note", b"kept")
    os.chown(data, 999, 998)

    made = world.volumes.clone(NS, "db", Volume("db-copy"))

    copy = Path(made.mountpoint)
    assert (copy / "hard").stat().st_ino == (copy / "sub/file").stat().st_ino != (data / "hard").stat().st_ino
    assert os.readlink(copy / "soft") == "/etc/passwd"
    assert os.getxattr(copy / "hard", "user.note") == b"kept"
    assert (copy.stat().st_uid, copy.stat().st_gid) == (999, 998)
    with pytest.raises(Conflict):
        world.volumes.clone(NS, "db", Volume("db-copy"))


def export(world: VolumeWorld, name: str, compression: str = "") -> bytes:
    read, write = os.pipe()
    parts: list[bytes] = []

    def drain() -> None:
        with open(read, "rb") as file:
            parts.append(file.read())

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        world.volumes.export(NS, name, write, compression)
    finally:
        os.close(write)
        thread.join()
    return parts[0]


def load(world: VolumeWorld, name: str, archive: bytes) -> Volume:
    read, write = os.pipe()

    def feed() -> None:
        with open(write, "wb") as file:
            try:
                file.write(archive)
            except BrokenPipeError:
                file.detach()

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        return world.volumes.load(NS, Volume(name), read)
    finally:
        os.close(read)
        thread.join()


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_an_archive_carries_a_volume_over(world: VolumeWorld, compression: str) -> None:
    world.volumes.create(NS, Volume("db"))
    data = world.data("db")
    (data / "dir").mkdir()
    (data / "dir" / ".wh.file").write_bytes(os.urandom(3 << 20))
    (data / "empty").touch()
    os.chown(data, 999, 998)
    os.chmod(data, 0o2770)
    os.mkfifo(data / "fifo")

    load(world, "copy", export(world, "db", compression))

    copy = world.data("copy")
    assert (copy / "dir/.wh.file").read_bytes() == (data / "dir/.wh.file").read_bytes()
    assert (copy.stat().st_uid, copy.stat().st_mode & 0o7777) == (999, 0o2770)
    assert sorted(os.listdir(copy)) == ["dir", "empty", "fifo"]


def test_any_tar_will_do_and_merges_with_what_is_there(world: VolumeWorld) -> None:
    world.volumes.create(NS, Volume("site"))
    (world.data("site") / "kept").write_text("old")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("index")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))

    load(world, "site", buffer.getvalue())

    assert {path.name: path.read_text() for path in world.data("site").iterdir()} == {"kept": "old", "index": "hello"}


def hostile(name: str, link: str = "", kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        if link:
            entry = tarfile.TarInfo("out")
            entry.type, entry.linkname = kind, link
            archive.addfile(entry)
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "archive",
    [b"no tar at all, but some text that is longer than a block" * 20, hostile("../escaped"),
     hostile("out/escaped", "../../..", tarfile.SYMTYPE), hostile("x", "../../../../etc/passwd", tarfile.LNKTYPE),
     b"\x1f\x8b\x08\x00broken"],
)  # fmt: skip
def test_a_bad_archive_makes_no_volume_and_leaves_nothing(world: VolumeWorld, archive: bytes) -> None:
    with pytest.raises(InvalidArgument):
        load(world, "bad", archive)
    assert (world.names(), world.on_disk()) == ([], [])
    assert not list(world.root.rglob("escaped"))


def test_a_cut_archive_makes_no_volume(world: VolumeWorld) -> None:
    world.volumes.create(NS, Volume("db"))
    (world.data("db") / "file").write_bytes(os.urandom(1 << 20))
    archive = export(world, "db")

    with pytest.raises(InvalidArgument):
        load(world, "cut", archive[: len(archive) // 2])
    assert world.names() == world.on_disk() == ["db"]


# -- bounds --


@pytest.fixture
def without_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "enforced", lambda _path: False)


@pytest.mark.usefixtures("without_quota")
def test_a_bounded_volume_takes_no_more(world: VolumeWorld) -> None:
    made = world.volumes.create(NS, Volume("small", options={"size": "4m"}))
    assert made.limit is Limit.IMAGE
    (world.rootfs / "data").mkdir()
    (world.rootfs / "data/big").write_bytes(bytes(8 << 20) + b"x" * (1 << 20))
    (world.rootfs / "data/more").write_bytes(os.urandom(8 << 20))

    with pytest.raises(ResourceExhausted):
        world.container("web", named("small"))

    assert world.plain.list(NS) == []
    assert mountinfo.below(str(world.root)) == []
    with world.mounts.visit(NS, made) as data:
        assert os.listdir(data) == []


@pytest.mark.usefixtures("without_quota")
def test_what_bounds_a_volume_is_mounted_while_it_is_wanted(world: VolumeWorld) -> None:
    world.container("web", named("small", options={"size": "4m"}))
    container = world.plain.get(NS, "web")
    mounts = world.containers.attach(NS, container)
    assert mounts[0]["source"] == str(world.data("small"))
    (world.data("small") / "file").write_text("kept")
    assert mountinfo.is_mount_point(str(world.data("small")))

    world.volumes.rename(NS, "small", "smaller")
    world.reopen()  # a killed daemon leaves the mount
    assert (world.data("smaller") / "file").read_text() == "kept"
    world.mounts.sweep(lambda _namespace, _id: True)
    assert mountinfo.is_mount_point(str(world.data("smaller")))
    world.mounts.sweep(lambda _namespace, _id: False)
    assert mountinfo.below(str(world.root)) == []

    clone = world.volumes.clone(NS, "smaller", Volume("another"))
    assert clone.limit is Limit.IMAGE
    with world.mounts.visit(NS, clone) as data:
        assert Path(data, "file").read_text() == "kept"


@pytest.mark.usefixtures("without_quota")
def test_where_nothing_can_enforce_a_size_it_is_refused(world: VolumeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FailedPrecondition, match=r"cannot be enforced.*prjquota"):
        world.volumes.create(NS, Volume("small", options={"size": "4m"}))
    with pytest.raises(InvalidArgument, match="at least 1m"):
        world.volumes.create(NS, Volume("tiny", options={"size": "4k"}))
    assert (world.names(), world.on_disk()) == ([], [])


@pytest.mark.parametrize("kind", ["ext4-quota", "xfs-quota"])
def test_the_filesystem_bounds_it_where_it_can(tmp_path: Path, kind: str) -> None:
    with filesystem(tmp_path, kind) as root:
        world = VolumeWorld(root)
        try:
            made = world.volumes.create(NS, Volume("small", options={"size": "2m"}))
            assert made.limit is Limit.QUOTA
            assert fill(world.data("small") / "file", 8 << 20) <= 2 << 20
            project = quota.project(made.mountpoint)
            clone = world.volumes.clone(NS, "small", Volume("another", options={"size": "8m"}))
            assert quota.used(clone.mountpoint)[1] == 8 << 20
            (world.rootfs / "data").mkdir()
            (world.rootfs / "data/more").write_bytes(os.urandom(8 << 20))
            with pytest.raises(ResourceExhausted):
                world.container("web", named("tiny", options={"size": "1m"}))
            world.volumes.remove(NS, "small")
            assert world.names() == world.on_disk() == ["another"]
            assert project != quota.project(clone.mountpoint)
        finally:
            world.end()


def test_a_clone_shares_blocks_where_the_filesystem_can(tmp_path: Path) -> None:
    with filesystem(tmp_path, "xfs") as root:
        world = VolumeWorld(root)
        try:
            world.volumes.create(NS, Volume("db"))
            (world.data("db") / "rows").write_bytes(os.urandom(64 << 20))
            os.sync()
            before = os.statvfs(root).f_bfree
            world.volumes.clone(NS, "db", Volume("copy"))
            os.sync()
            used = (before - os.statvfs(root).f_bfree) * os.statvfs(root).f_frsize
            assert (world.data("copy") / "rows").read_bytes() == (world.data("db") / "rows").read_bytes()
            assert used < 8 << 20
        finally:
            world.end()


# -- rows and directories --


def test_a_directory_that_was_lost_is_told_and_never_made_up(world: VolumeWorld) -> None:
    world.container("web", named("html"))
    shutil.rmtree(world.root / "volumes" / NS / "html")

    world.reopen()

    assert world.volumes.get(NS, "html").volume.lost
    with pytest.raises(PycontainerdError, match="is gone: restore it"):
        world.containers.attach(NS, world.plain.get(NS, "web"))
    world.containers.delete(NS, "web")
    world.volumes.remove(NS, "html")
    assert world.names() == []


def test_data_without_a_row_is_taken_in_again(world: VolumeWorld) -> None:
    world.volumes.create(NS, Volume("html", labels={"tier": "web"}))
    (world.data("html") / "index").write_text("hello")
    world.close()
    os.unlink(world.root / "metadata.db")
    for leftover in world.root.glob("metadata.db-*"):
        leftover.unlink()

    world.open()

    assert world.volumes.get(NS, "html").volume.labels == {"tier": "web"}
    assert (world.data("html") / "index").read_text() == "hello"


def test_a_directory_that_nobody_can_tell_is_left_alone_and_in_the_way(world: VolumeWorld) -> None:
    stray = world.root / "volumes" / NS / "stray"
    (stray / "_data").mkdir(parents=True)
    (stray / "_data/file").write_text("somebody's")

    world.reopen()

    assert world.names() == []
    with pytest.raises(FailedPrecondition, match="move it away"):
        world.volumes.create(NS, Volume("stray"))
    assert (stray / "_data/file").read_text() == "somebody's"


def test_a_full_disk_leaves_nothing(world: VolumeWorld) -> None:
    failpoint.arm("volumes.make.record", "error:ENOSPC")
    with pytest.raises(ResourceExhausted):
        world.volumes.create(NS, Volume("html"))
    assert (world.names(), world.on_disk()) == ([], [])


def test_bind_volumes_never_lose_what_they_show(world: VolumeWorld, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "file").write_text("theirs")
    options = {"type": "none", "o": "bind", "device": str(shown)}
    made = world.volumes.create(NS, Volume("view", options=options))
    world.container("web", named("view"))
    world.containers.attach(NS, world.plain.get(NS, "web"))
    assert (world.data("view") / "file").read_text() == "theirs"
    world.containers.delete(NS, "web")

    world.volumes.remove(NS, "view")  # although the task's hold is still there

    assert (shown / "file").read_text() == "theirs"
    assert not Path(made.mountpoint).exists()
    assert mountinfo.below(str(world.root / "volumes")) == []


def test_a_device_that_cannot_be_mounted(world: VolumeWorld) -> None:
    options = {"type": "none", "o": "bind", "device": "/nowhere/at/all"}
    world.volumes.create(NS, Volume("view", options=options))
    with pytest.raises(FailedPrecondition, match="failed to mount local volume"):
        world.container("web", named("view"))
    assert world.plain.list(NS) == []


def test_many_ask_for_one_volume_at_once(world: VolumeWorld) -> None:
    made: list[Volume] = []
    threads = [threading.Thread(target=lambda: made.append(world.volumes.create(NS, Volume("one")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({volume.created_at for volume in made}) == 1
    assert json.loads((world.data("one").parent / "volume.json").read_text())["driver"] == "local"
