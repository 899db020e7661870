"""The overlay driver's mounts and refusals."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument
from pycontainerd.core.snapshots import Kind
from pycontainerd.core.values import Mount
from pycontainerd.linux.mount import mount_all, unmount_all
from snapshotter.overlay import GID_MAPPING, UID_MAPPING, OverlayConfig, OverlayDriver, host_root

pytestmark = pytest.mark.root

INDEX = ("index=off",) if os.path.exists("/sys/module/overlay/parameters/index") else ()
MAPPED = {UID_MAPPING: "0:100000:65536", GID_MAPPING: "0:200000:65536"}


@pytest.fixture
def driver(tmp_path: Path) -> OverlayDriver:
    return OverlayDriver(str(tmp_path / "root"), OverlayConfig(mount_options=("volatile",)))


def test_without_a_parent_it_is_a_bind(driver: OverlayDriver) -> None:
    fs = f"{driver.root}/snapshots/1/fs"

    assert driver.mounts("1", [], Kind.ACTIVE, {}) == [Mount("bind", fs, options=("rw", "rbind"))]
    assert driver.mounts("1", [], Kind.VIEW, {}) == [Mount("bind", fs, options=("ro", "rbind"))]


def test_a_view_of_one_parent_is_a_bind_of_it(driver: OverlayDriver) -> None:
    expected = [Mount("bind", f"{driver.root}/snapshots/1/fs", options=("ro", "rbind"))]

    assert driver.mounts("2", ["1"], Kind.VIEW, {}) == expected


def test_parents_make_an_overlay_nearest_first(driver: OverlayDriver) -> None:
    base = f"{driver.root}/snapshots"
    lower = f"lowerdir={base}/2/fs:{base}/1/fs"

    active = driver.mounts("3", ["2", "1"], Kind.ACTIVE, {})
    view = driver.mounts("3", ["2", "1"], Kind.VIEW, {})

    own = (f"workdir={base}/3/work", f"upperdir={base}/3/fs")
    assert active == [Mount("overlay", "overlay", options=(*own, lower, "volatile", *INDEX))]
    assert view == [Mount("overlay", "overlay", options=(lower, "volatile", *INDEX))]


def test_id_mappings_come_first_and_root_owns_the_top(driver: OverlayDriver) -> None:
    if "remap-ids" not in driver.capabilities:
        pytest.skip("the kernel maps no ids below an overlay")
    driver.prepare("1", [], Kind.ACTIVE, {})
    driver.prepare("2", ["1"], Kind.ACTIVE, MAPPED)

    (mount,) = driver.mounts("2", ["1"], Kind.ACTIVE, MAPPED)

    assert mount.options[:2] == ("uidmap=0:100000:65536", "gidmap=0:200000:65536")
    found = os.stat(f"{driver.root}/snapshots/2/fs")
    assert (found.st_uid, found.st_gid) == (100000, 200000)


def test_directories_have_the_modes_of_the_layout(driver: OverlayDriver) -> None:
    driver.prepare("1", [], Kind.ACTIVE, {})
    driver.prepare("1", [], Kind.ACTIVE, {})
    driver.prepare("2", [], Kind.VIEW, {})
    base = Path(driver.root) / "snapshots"

    modes = {name: stat.S_IMODE((base / name).stat().st_mode) for name in ("1", "1/fs", "1/work")}
    assert modes == {"1": 0o700, "1/fs": 0o755, "1/work": 0o711}
    assert not (base / "2" / "work").exists()


def test_removal_may_be_repeated(driver: OverlayDriver) -> None:
    driver.prepare("1", [], Kind.ACTIVE, {})
    os.mkdir(f"{driver.root}/snapshots/rm-1")

    driver.remove("1")
    driver.remove("1")

    assert driver.ids() == []


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b"])
def test_a_root_that_mount_options_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="choose another root"):
        OverlayDriver(str(tmp_path / name))


def test_overlay_on_overlay_is_refused_with_a_remedy(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    layers = (f"lowerdir={tmp_path}/lower", f"upperdir={tmp_path}/upper", f"workdir={tmp_path}/work")
    mount_all([Mount("overlay", "overlay", options=layers)], str(tmp_path / "merged"))
    try:
        with pytest.raises(FailedPrecondition, match="native snapshotter"):
            OverlayDriver(str(tmp_path / "merged" / "root"))
        assert os.listdir(tmp_path / "merged" / "root") == ["snapshots"]
    finally:
        unmount_all(str(tmp_path / "merged"))


def test_the_host_side_of_container_root() -> None:
    assert host_root(UID_MAPPING, "1:5:10,0:1000:1") == 1000
    for bad in ("", "0:1", "0:x:1", "1:0:10", "0:1:0"):
        with pytest.raises(InvalidArgument, match="uidmapping"):
            host_root(UID_MAPPING, bad)
