"""Bounded snapshots: a filesystem of its own where there is no quota, and refusals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument
from pycontainerd.core.snapshots import MAX_SIZE, Kind
from pycontainerd.linux import mountinfo, quota
from pycontainerd.linux.mount import mount_all, unmount_all
from snapshotter.native import NativeDriver
from snapshotter.overlay import OverlayDriver
from tests.support.filesystems import filesystem, fill

pytestmark = pytest.mark.root
LABELS = {MAX_SIZE: "4m"}


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OverlayDriver:
    monkeypatch.setattr(quota, "enforced", lambda _path: False)
    return OverlayDriver(str(tmp_path / "root"))


def test_what_is_too_much_is_refused_and_removal_leaves_nothing(driver: OverlayDriver, tmp_path: Path) -> None:
    driver.prepare("1", [], Kind.ACTIVE, {})
    base = f"{driver.root}/snapshots"
    Path(f"{base}/1/fs/below").write_text("kept")
    driver.prepare("2", ["1"], Kind.ACTIVE, LABELS)
    target = tmp_path / "mounted"
    target.mkdir()
    try:
        mount_all(driver.mounts("2", ["1"], Kind.ACTIVE, LABELS), str(target))
        assert (target / "below").read_text() == "kept"
        assert fill(target / "big", 16 << 20) < 4 << 20
    finally:
        unmount_all(str(target))
        driver.remove("2")

    assert mountinfo.below(base) == []
    assert os.listdir(base) == ["1"]


def test_a_reboot_takes_the_mount_and_the_next_question_brings_it_back(driver: OverlayDriver) -> None:
    driver.prepare("1", [], Kind.ACTIVE, LABELS)
    layer = driver.mounts("1", [], Kind.ACTIVE, LABELS)[0].source
    try:
        Path(layer, "file").write_text("kept")
        unmount_all(os.path.dirname(layer))
        assert not os.path.exists(layer)

        assert Path(driver.mounts("1", [], Kind.ACTIVE, LABELS)[0].source, "file").read_text() == "kept"
        assert driver.usage("1").inodes == 2
    finally:
        driver.remove("1")


def test_a_committed_one_serves_as_parent(driver: OverlayDriver, tmp_path: Path) -> None:
    driver.prepare("1", [], Kind.ACTIVE, LABELS)
    try:
        Path(driver.mounts("1", [], Kind.ACTIVE, LABELS)[0].source, "file").write_text("kept")
        driver.commit("1", [])
        driver.prepare("2", ["1"], Kind.ACTIVE, {})
        target = tmp_path / "mounted"
        target.mkdir()
        mount_all(driver.mounts("2", ["1"], Kind.ACTIVE, {}), str(target))
        try:
            assert (target / "file").read_text() == "kept"
        finally:
            unmount_all(str(target))
    finally:
        driver.remove("2")
        driver.remove("1")


def test_where_nothing_can_enforce_it_it_is_an_error(driver: OverlayDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(FailedPrecondition, match=r"cannot be enforced.*prjquota"):
        driver.prepare("1", [], Kind.ACTIVE, LABELS)
    driver.remove("1")


def test_a_native_copy_needs_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "enforced", lambda _path: False)

    with pytest.raises(FailedPrecondition, match="prjquota"):
        NativeDriver(str(tmp_path / "root")).prepare("1", [], Kind.ACTIVE, LABELS)


@pytest.mark.parametrize("kind", ["ext4-quota", "xfs-quota"])
@pytest.mark.parametrize("make", [OverlayDriver, NativeDriver])
def test_the_filesystem_bounds_it_where_it_can(
    tmp_path: Path, kind: str, make: type[OverlayDriver] | type[NativeDriver]
) -> None:
    with filesystem(tmp_path, kind) as root:
        driver = make(str(root / "snapshots"))
        driver.prepare("1", [], Kind.ACTIVE, {})
        Path(driver.mounts("1", [], Kind.ACTIVE, {})[0].source, "below").write_bytes(bytes(1 << 20))
        driver.prepare("2", ["1"], Kind.ACTIVE, LABELS)
        target = tmp_path / "mounted"
        target.mkdir()
        mount_all(driver.mounts("2", ["1"], Kind.ACTIVE, LABELS), str(target))
        try:
            assert (2 << 20) < fill(target / "big", 16 << 20) <= 4 << 20
        finally:
            unmount_all(str(target))
        driver.remove("2")
        assert quota.project(f"{driver.root}/snapshots/1") == 0


@pytest.mark.parametrize("text", ["much", "-1", "10"])
def test_a_size_that_is_none(driver: OverlayDriver, text: str) -> None:
    with pytest.raises(InvalidArgument, match="max-size"):
        driver.prepare("1", [], Kind.ACTIVE, {MAX_SIZE: text})
