"""The mount manager on a real machine."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
    Unknown,
)
from pycontainerd.core.gc import Kind, Node
from pycontainerd.core.mounts import Activation
from pycontainerd.core.values import Mount
from pycontainerd.linux import loop, mountinfo
from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.stores import mountpoints
from pycontainerd.stores.database import Database
from pycontainerd.stores.leases import Leases
from pycontainerd.stores.mounts import Mounts
from pycontainerd.stores.schema import STEPS
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

SIZE = "X-containerd.mkfs.size=4MiB"


class Manager:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.targets = base / "targets"
        self.open()

    def open(self) -> None:
        self.database = Database(str(self.base / "db" / "metadata.db"), STEPS)
        self.mounts = Mounts(self.database, str(self.targets), [str(self.base)])

    def restart(self) -> None:
        self.database.close()
        self.open()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    try:
        yield made
    finally:
        made.database.close()
        for entry in (tmp_path / "targets").iterdir():
            mountpoints.undo(str(entry))
        unmount_all(str(tmp_path))


def _image(manager: Manager, *options: str) -> Mount:
    return Mount("mkfs/loop", str(manager.base / "disk.img"), options=(SIZE, *options))


def _attached(manager: Manager) -> list[str]:
    ours = str(manager.base.resolve())
    devices = [name for name in os.listdir("/sys/block") if name.startswith("loop")]
    return [name for name in devices if loop.backing_file(name).startswith(ours)]


def test_plain_mounts_are_left_to_the_caller(manager: Manager) -> None:
    with pytest.raises(Unimplemented, match='activation "x"'):
        manager.mounts.activate("ns", "x", [Mount("bind", "/", options=("rbind",))])
    assert list(manager.targets.iterdir()) == []


def test_an_image_is_made_attached_mounted_and_taken_off(manager: Manager) -> None:
    overlay = Mount(
        "format/mkdir/overlay",
        "overlay",
        options=(
            "X-containerd.mkdir.path={{ mount 1 }}/upper:0755",
            "X-containerd.mkdir.path={{ mount 1 }}/work:0700:3:4",
            "lowerdir=/etc",
            "upperdir={{ mount 1 }}/upper",
            "workdir={{ mount 1 }}/work",
        ),
    )
    mounts = [_image(manager), Mount("format/ext4", "{{ mount 0 }}"), overlay]

    made = manager.mounts.activate("ns", "box", mounts, {"team": "blue"})

    loop_point, disk_point = (entry.mount_point for entry in made.active)
    assert made.active[1].mount == Mount("ext4", loop_point)
    assert mountinfo.covering(disk_point).type == "ext4"
    assert stat.S_IMODE(os.stat(f"{disk_point}/upper").st_mode) == 0o755
    assert os.stat(f"{disk_point}/work").st_uid == 3
    assert made.system == (
        Mount(
            "overlay",
            "overlay",
            options=("lowerdir=/etc", f"upperdir={disk_point}/upper", f"workdir={disk_point}/work"),
        ),
    )
    assert manager.mounts.info("ns", "box") == made
    assert list(manager.mounts.list("ns", ["labels.team==blue"])) == [made]
    assert list(manager.mounts.list("elsewhere")) == []
    target = manager.base / "target"
    target.mkdir()
    mount_all(made.system, str(target))
    assert (target / "passwd").exists()
    unmount_all(str(target))

    manager.mounts.deactivate("ns", "box")

    assert _attached(manager) == []
    assert list(manager.targets.iterdir()) == []
    assert (manager.base / "disk.img").exists()
    with pytest.raises(NotFound):
        manager.mounts.info("ns", "box")


def test_an_existing_image_is_used_as_it_is(manager: Manager) -> None:
    mounts = [_image(manager), Mount("format/ext4", "{{ mount 0 }}")]
    for round_number in range(2):
        made = manager.mounts.activate("ns", "box", mounts, temporary=True)
        with (Path(made.active[1].mount_point) / "rounds").open("a") as file:
            file.write(str(round_number))
        text = (Path(made.active[1].mount_point) / "rounds").read_text()
        manager.mounts.deactivate("ns", "box")
    assert text == "01"


def test_temporary_makes_everything_and_leaves_a_bind(manager: Manager) -> None:
    made = manager.mounts.activate("ns", "look", [Mount("tmpfs", "tmpfs", options=("size=64k",))], temporary=True)

    (point,) = (entry.mount_point for entry in made.active)
    assert mountinfo.covering(point).type == "tmpfs"
    assert made.system == (Mount("bind", point, options=("rbind",)),)


def test_a_name_is_taken_once(manager: Manager) -> None:
    tmpfs = [Mount("tmpfs", "tmpfs")]
    manager.mounts.activate("ns", "x", tmpfs, temporary=True)

    with pytest.raises(AlreadyExists, match='mount "x"'):
        manager.mounts.activate("ns", "x", tmpfs, temporary=True)
    manager.mounts.activate("other", "x", tmpfs, temporary=True)
    assert len(list(manager.targets.iterdir())) == 2


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (Mount("format/ext4", "{{ mount 7 }}"), InvalidArgument),
        (Mount("mkdir/overlay", "o", options=("X-containerd.mkdir.path=/etc/new",)), InvalidArgument),
        (Mount("mkfs/loop", "/etc/image", options=(SIZE,)), InvalidArgument),
        (Mount("mkfs/loop", "{base}/other.img"), InvalidArgument),
        (Mount("mkfs/loop", "{base}/other.img", options=("X-containerd.mkfs.size=1k",)), FailedPrecondition),
        (Mount("loop", "{base}/missing.img"), Exception),
    ],
)
def test_failure_leaves_nothing_behind(manager: Manager, last: Mount, error: type[Exception]) -> None:
    broken = Mount(last.type, last.source.replace("{base}", str(manager.base)), options=last.options)

    with pytest.raises(error):
        manager.mounts.activate("ns", "box", [_image(manager), broken], lease="")

    assert _attached(manager) == []
    assert list(manager.targets.iterdir()) == []
    assert list(manager.mounts.list("ns")) == []
    assert not any("other" in path.name for path in manager.base.iterdir())


def test_deactivating_an_unknown_name_says_so(manager: Manager) -> None:
    with pytest.raises(NotFound, match='mount "x"'):
        manager.mounts.deactivate("ns", "x")


def test_labels_change_and_nothing_else(manager: Manager) -> None:
    made = manager.mounts.activate("ns", "x", [Mount("tmpfs", "tmpfs")], {"a": "1", "b": "2"}, temporary=True)

    changed = manager.mounts.update("ns", Activation("x", labels={"a": "9", "b": "9"}), ["labels.a"])

    assert changed.labels == {"a": "9", "b": "2"}
    assert changed.active == made.active
    with pytest.raises(InvalidArgument, match="labels"):
        manager.mounts.update("ns", Activation("x"), ["system"])


def test_mounts_outlive_the_daemon(manager: Manager) -> None:
    made = manager.mounts.activate(
        "ns", "box", [_image(manager), Mount("format/ext4", "{{ mount 0 }}")], temporary=True
    )

    manager.restart()

    assert manager.mounts.info("ns", "box") == made
    assert mountinfo.covering(made.active[1].mount_point).type == "ext4"
    manager.mounts.activate("ns", "more", [Mount("tmpfs", "tmpfs")], temporary=True)
    manager.mounts.deactivate("ns", "box")
    assert _attached(manager) == []


def test_what_has_no_row_is_taken_off_and_what_is_gone_is_forgotten(manager: Manager) -> None:
    manager.mounts.activate("ns", "gone", [Mount("tmpfs", "tmpfs")], temporary=True)
    manager.mounts.activate("ns", "orphan", [_image(manager), Mount("format/ext4", "{{ mount 0 }}")], temporary=True)
    unmount_all(str(manager.targets / "1"))
    manager.database.write(lambda connection: connection.execute("DELETE FROM mounts WHERE name = 'orphan'"))

    manager.restart()

    assert list(manager.mounts.list("ns")) == []
    assert list(manager.targets.iterdir()) == []
    assert _attached(manager) == []


def test_a_device_that_belongs_to_another_file_is_left_alone(manager: Manager) -> None:
    manager.mounts.activate("ns", "box", [_image(manager)])
    (link,) = manager.targets.glob("*/0")
    shutil.copy(manager.base / "disk.img", manager.base / "stranger.img")
    stranger = loop.attach(str(manager.base / "stranger.img"), autoclear=False)
    ours = os.readlink(link)
    try:
        link.unlink()
        link.symlink_to(stranger.path)

        manager.mounts.deactivate("ns", "box")

        assert loop.backing_file(stranger.path).endswith("stranger.img")
    finally:
        stranger.close()
        loop.detach(stranger.path)
        loop.detach(ours)


def test_a_collection_removes_what_no_lease_holds(manager: Manager) -> None:
    leases = Leases(manager.database)
    leases.create("ns", "lease")
    tmpfs = [Mount("tmpfs", "tmpfs")]
    manager.mounts.activate("ns", "held", tmpfs, temporary=True, lease="lease")
    manager.mounts.activate("ns", "loose", tmpfs, {"containerd.io/gc.bref.container": "c"}, temporary=True)
    held = [(item.type, item.id) for item in leases.list_resources("ns", "lease")]
    assert held == [("mounts", "held")]
    items = {item.node: item for item in manager.database.read(lambda c: list(manager.mounts.items(c)))}
    loose = Node(Kind.MOUNT, "ns", "loose")
    assert items[loose].labels == {"containerd.io/gc.bref.container": "c"}

    manager.database.write(lambda connection: manager.mounts.remove_collected(connection, [loose]))
    manager.mounts.sweep()

    assert [made.name for made in manager.mounts.list("ns")] == ["held"]
    assert len(list(manager.targets.iterdir())) == 1
    with pytest.raises(NotFound, match="lease"):
        manager.mounts.activate("ns", "x", tmpfs, temporary=True, lease="no such lease")


def test_a_loop_device_never_outlives_a_failure(manager: Manager) -> None:
    for point in ("mounts.loop.linked", "mounts.activate.mounted"):
        failpoint.arm(point, "error:EIO")
        try:
            with pytest.raises(Unknown, match="Input/output error"):
                manager.mounts.activate("ns", "box", [_image(manager)])
        finally:
            failpoint.disarm()

        assert _attached(manager) == []
        assert list(manager.targets.iterdir()) == []
