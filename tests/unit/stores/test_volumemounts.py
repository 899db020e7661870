"""Subpaths and images pinned for containers, and let go of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument
from pycontainerd.core.volumes import Volume
from pycontainerd.linux import mountinfo
from tests.support.volumes import NS, VolumeWorld, named

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


@pytest.fixture
def world(tmp_path: Path) -> Iterator[VolumeWorld]:
    made = VolumeWorld(tmp_path)
    try:
        yield made
    finally:
        made.end()


def attach(world: VolumeWorld, id: str) -> list[str]:
    return [str(mount["source"]) for mount in world.containers.attach(NS, world.plain.get(NS, id))]


def test_a_subpath_is_pinned_and_cannot_be_swapped(world: VolumeWorld) -> None:
    world.volumes.create(NS, Volume("site"))
    data = world.data("site")
    (data / "a/b").mkdir(parents=True)
    (data / "a/b/file").write_text("inside")
    (data / "single").write_text("one file")
    world.container("web", named("site", "/x", subpath="a/b"), named("site", "/y", subpath="single"))

    directory, file = attach(world, "web")
    (data / "a/b").rename(data / "a/moved")
    (data / "a/b").symlink_to("/etc")

    assert Path(directory, "file").read_text() == "inside"
    assert Path(file).read_text() == "one file"
    world.containers.detach(NS, "web")
    world.containers.detach(NS, "web")
    assert mountinfo.below(str(world.root)) == []
    assert (data / "a/moved/file").exists()
    assert not os.path.exists(directory)


@pytest.mark.parametrize("target", ["/etc", "../../../../../etc", "loop"])
def test_a_link_that_leads_out_is_refused(world: VolumeWorld, target: str) -> None:
    world.volumes.create(NS, Volume("site"))
    (world.data("site") / "loop").symlink_to(target)
    world.container("web", named("site", "/x", subpath="loop"))

    with pytest.raises(FailedPrecondition, match='subpath of volume site "loop"'):
        attach(world, "web")
    assert mountinfo.below(str(world.root)) == []


def test_a_link_that_stays_inside_is_followed(world: VolumeWorld) -> None:
    world.volumes.create(NS, Volume("site"))
    (world.data("site") / "v1").mkdir()
    (world.data("site") / "current").symlink_to("v1")
    world.container("web", named("site", "/x", subpath="current"))

    assert os.path.samefile(attach(world, "web")[0], world.data("site") / "v1")


def test_a_subpath_that_is_not_there(world: VolumeWorld) -> None:
    world.container("web", named("site", "/x", subpath="nope"))
    with pytest.raises(FailedPrecondition, match="No such file"):
        attach(world, "web")


def test_an_image_is_seen_through_its_snapshot(world: VolumeWorld) -> None:
    (world.rootfs / "usr").mkdir()
    (world.rootfs / "usr/file").write_text("of the image")
    entry = {"type": "image", "source": "busybox", "target": "/i", "snapshotter": "dir", "snapshot": "view"}
    world.container("web", entry, {**entry, "target": "/u", "subpath": "usr"})

    whole, part = attach(world, "web")

    assert Path(whole, "usr/file").read_text() == Path(part, "file").read_text() == "of the image"
    world.containers.detach(NS, "web")
    assert mountinfo.below(str(world.root)) == []
    assert (world.rootfs / "usr/file").exists()


def test_an_image_without_a_snapshot(world: VolumeWorld) -> None:
    world.container("web", {"type": "image", "source": "busybox", "target": "/i"})
    with pytest.raises(InvalidArgument, match="names no snapshot"):
        attach(world, "web")


def test_two_containers_hold_one_mount_until_the_second_lets_go(world: VolumeWorld, tmp_path: Path) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    world.volumes.create(NS, Volume("shared", options=options))
    for name in ("one", "two"):
        world.container(name, named("shared"))
        attach(world, name)
    (world.data("shared") / "file").touch()

    world.containers.detach(NS, "one")
    assert (world.data("shared") / "file").exists()
    world.containers.detach(NS, "two")
    assert not mountinfo.is_mount_point(str(world.data("shared")))
