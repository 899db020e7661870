"""Containers and their volumes: made together, filled from the image, gone together."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from pycontainerd.core.mountentries import EXTENSION
from pycontainerd.core.volumes import Volume
from pycontainerd.stores.volumerows import extension
from pycontainerd.wire import failpoint
from tests.support.volumes import NS, VolumeWorld, anonymous, named, record

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


def image(world: VolumeWorld, path: str = "data") -> Path:
    """A directory of the image with everything in it that a copy could lose."""
    top = world.rootfs / path
    (top / "sub").mkdir(parents=True)
    (top / "file").write_text("from the image")
    os.setxattr(top / "file", "user.note", b"kept")
    os.chown(top / "file", 33, 33)
    os.link(top / "file", top / "sub/hard")
    os.symlink("/etc/shadow", top / "soft")
    os.chown(top, 999, 998)
    os.chmod(top, 0o2750)
    return top


def test_a_container_without_entries_is_nobodys_business_here(world: VolumeWorld) -> None:
    world.container("plain")
    assert world.containers.attach(NS, world.plain.get(NS, "plain")) == []
    world.containers.delete(NS, "plain")


def test_a_missing_volume_is_made_and_gets_what_the_image_has(world: VolumeWorld) -> None:
    image(world)

    created = world.container("web", named("html", labels={"tier": "web"}), anonymous("/nothing-there"))

    data = world.data("html")
    assert (data / "sub/hard").stat().st_ino == (data / "file").stat().st_ino
    assert (data / "file").read_text() == "from the image"
    assert (data / "file").stat().st_uid == 33
    assert os.getxattr(data / "file", "user.note") == b"kept"
    assert os.readlink(data / "soft") == "/etc/shadow"
    assert (data.stat().st_uid, data.stat().st_gid, data.stat().st_mode & 0o7777) == (999, 998, 0o2750)
    assert world.volumes.get(NS, "html").volume.labels == {"tier": "web"}
    own = world.entries("web")[1]["volume"]
    assert len(own) == 64
    assert os.listdir(world.data(own)) == []
    assert created.extensions == world.plain.get(NS, "web").extensions


def test_only_an_empty_volume_is_filled_and_only_when_wanted(world: VolumeWorld) -> None:
    image(world)
    world.volumes.create(NS, Volume("used"))
    (world.data("used") / "mine").touch()
    world.volumes.create(NS, Volume("empty"))

    world.container("web", named("used"), named("raw", "/data2", nocopy=True), named("empty", "/data/../data/sub"))
    world.container("later", named("raw"))

    assert os.listdir(world.data("used")) == ["mine"]
    assert os.listdir(world.data("empty")) == ["hard"]
    assert sorted(os.listdir(world.data("raw"))) == ["file", "soft", "sub"]


def test_a_link_in_the_image_never_leads_to_the_host(world: VolumeWorld, tmp_path: Path) -> None:
    image(world, "real")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").touch()
    (world.rootfs / "inside").symlink_to("/real")
    (world.rootfs / "absolute").symlink_to(secret)
    (world.rootfs / "climbing").symlink_to("../../../../../../" + str(secret))
    (world.rootfs / "magic").symlink_to("/proc/self/root")

    world.container(
        "web", named("inside", "/inside"), named("absolute", "/absolute"), named("climbing", "/climbing/."),
        named("magic", f"/magic{secret}"),
    )  # fmt: skip

    assert (world.data("inside") / "file").exists()
    for name in ("absolute", "climbing", "magic"):
        assert os.listdir(world.data(name)) == []


def test_what_fails_leaves_neither_container_nor_volumes(world: VolumeWorld) -> None:
    image(world)
    world.volumes.create(NS, Volume("empty"))
    world.container("taken")

    with pytest.raises(AlreadyExists):
        world.container("taken", named("html"), anonymous(), named("empty", "/data/sub"))
    with pytest.raises(Conflict):
        world.container("web", named("new", "/n"), named("empty", options={"size": "4m"}))
    with pytest.raises(InvalidArgument, match="driver"):
        world.container("web", named("new", "/n", driver="rclone"))
    with pytest.raises(InvalidArgument, match="bind source path does not exist: /nowhere"):
        world.container("web", named("new", "/n"), {"type": "bind", "source": "/nowhere", "target": "/b"})
    with pytest.raises(InvalidArgument, match="no such field"):
        world.container("web", {"type": "bind", "source": "/", "target": "/b", "wish": 1})

    assert world.names() == world.on_disk() == ["empty"]
    assert [container.id for container in world.plain.list(NS)] == ["taken"]


def test_a_copy_that_fails_in_a_volume_that_was_there_is_taken_back(
    world: VolumeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(world)
    world.volumes.create(NS, Volume("empty"))

    def half(rootfs: object, path: str, target: str) -> bool:
        Path(target, "half").touch()
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(world.trees, "copy_up", half)
    with pytest.raises(Exception, match="No space left"):
        world.container("web", named("empty"))
    assert os.listdir(world.data("empty")) == []


def test_anonymous_volumes_go_with_their_container_when_that_was_wished(world: VolumeWorld) -> None:
    world.container("web", anonymous("/a", remove=True), anonymous("/b"), named("html", remove=True))
    first, second, _ = (entry["volume"] for entry in world.entries("web"))
    world.container("sharing", {**named(first, "/a"), "anonymous": True, "remove": True})

    world.containers.delete(NS, "web")
    assert world.names() == sorted([first, second, "html"])  # the first is in use elsewhere

    world.containers.delete(NS, "sharing")
    assert world.names() == world.on_disk() == sorted([second, "html"])
    with pytest.raises(NotFound):
        world.containers.delete(NS, "sharing")


def test_an_update_makes_what_is_new_and_leaves_the_rest(world: VolumeWorld) -> None:
    image(world)
    container = world.container("web", named("one", "/one"))
    same = world.containers.update(NS, replace(container, labels={"a": "b"}), ["labels", "extensions"])
    assert world.names() == ["one"]

    value = extension([*world.entries("web"), named("two")])
    changed = replace(same, extensions={**same.extensions, EXTENSION: value})
    world.containers.update(NS, changed, ["labels"])
    assert world.names() == ["one"]  # the mask says that they are not meant
    world.containers.update(NS, changed, [f"extensions.{EXTENSION}"])
    assert world.names() == ["one", "two"]
    assert (world.data("two") / "file").exists()


def test_a_volume_that_was_emptied_is_not_filled_by_an_update(world: VolumeWorld) -> None:
    image(world)
    container = world.container("web", named("html"))
    world.directories.clear(NS, "html")
    value = extension([{**entry, "readonly": True} for entry in world.entries("web")])
    changed = replace(container, extensions={**container.extensions, EXTENSION: value})
    world.containers.update(NS, changed, ["extensions"])
    assert world.entries("web")[0]["readonly"]
    assert os.listdir(world.data("html")) == []


def test_a_volume_is_not_removed_while_a_container_with_it_is_made(world: VolumeWorld) -> None:
    world.volumes.create(NS, Volume("html"))
    failpoint.arm("volumes.claim.filled", "sleep:0.3")
    making = threading.Thread(target=lambda: world.container("web", named("html")))
    making.start()
    while not world.volumes._latches._locks:
        pass
    with pytest.raises(Conflict, match="in use"):
        world.volumes.remove(NS, "html")
    making.join()
    assert world.names() == ["html"]


def test_mounts_of_a_task(world: VolumeWorld, tmp_path: Path) -> None:
    made = tmp_path / "made"
    world.container(
        "web",
        named("html", "/srv", readonly=True),
        {"type": "bind", "source": str(made), "target": "/b", "create": True, "propagation": "private"},
        {"type": "tmpfs", "target": "/t", "options": ["nodev", "size=1m"]},
    )

    mounts = world.containers.attach(NS, world.plain.get(NS, "web"))

    source = str(world.data("html"))
    assert mounts == [
        {"destination": "/srv", "type": "bind", "source": source, "options": ["rbind", "rprivate", "ro"]},
        {"destination": "/b", "type": "bind", "source": str(made), "options": ["rbind", "private", "rw"]},
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nodev", "size=1m", "rw"]},
    ]
    assert made.is_dir()
    made.rmdir()
    assert world.containers.attach(NS, world.plain.get(NS, "web"))
    assert made.is_dir()  # made anew, as Docker does at each start


def test_records_refuse_to_be_made_of_nonsense(world: VolumeWorld) -> None:
    broken = record("web", [named("html")])
    value = replace(broken.extensions[EXTENSION], value=b"{")
    with pytest.raises(InvalidArgument, match="not JSON"):
        world.containers.create(NS, replace(broken, extensions={EXTENSION: value}))
