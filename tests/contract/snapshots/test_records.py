"""Names, kinds, errors, events, leases and restarts."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PycontainerdError,
    ResourceExhausted,
    Unimplemented,
    Unknown,
)
from pycontainerd.core.gc import Kind as NodeKind
from pycontainerd.core.gc import snapshot_node
from pycontainerd.core.snapshots import Kind, SnapshotInfo, Usage
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.snapshots.conftest import World

pytestmark = pytest.mark.root


def _two_layers(world: World) -> None:
    world.layer("one", "", lambda tree: (tree / "a").write_text("1"))
    world.layer("two", "one", lambda tree: (tree / "b").write_text("2"))
    world.events.clear()


def test_a_snapshot_goes_from_key_to_name(world: World) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    world.snapshots.prepare("ns", "key", labels={"mine": "1"})
    active = world.snapshots.stat("ns", "key")
    assert (active.kind, active.parent, active.labels) == (Kind.ACTIVE, "", {"mine": "1"})
    assert active.created_at is not None
    assert active.created_at > before

    world.snapshots.commit("ns", "name", "key", {"other": "2"})

    with pytest.raises(NotFound, match='snapshot "key": not found'):
        world.snapshots.stat("ns", "key")
    committed = world.snapshots.stat("ns", "name")
    assert (committed.kind, committed.labels) == (Kind.COMMITTED, {"other": "2"})


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda s: s.prepare("ns", ""), Unknown),
        (lambda s: s.view("ns", ""), Unknown),
        (lambda s: s.prepare("ns", "active"), AlreadyExists),
        (lambda s: s.view("ns", "one"), AlreadyExists),
        (lambda s: s.prepare("ns", "k", labels={"containerd.io/snapshot.ref": "two"}), AlreadyExists),
        (lambda s: s.prepare("ns", "k", "nothing"), NotFound),
        (lambda s: s.prepare("ns", "k", "active"), InvalidArgument),
        (lambda s: s.view("ns", "k", "view"), InvalidArgument),
        (lambda s: s.prepare("ns", "k", lease="no such lease"), NotFound),
        (lambda s: s.prepare("ns", "k", labels={"l": "x" * 4096}), InvalidArgument),
        (lambda s: s.commit("ns", "n", "nothing"), NotFound),
        (lambda s: s.commit("ns", "one", "active"), AlreadyExists),
        (lambda s: s.commit("ns", "n", "view"), FailedPrecondition),
        (lambda s: s.commit("ns", "n", "two"), FailedPrecondition),
        (lambda s: s.commit("ns", "n", "active", parent="one"), InvalidArgument),
        (lambda s: s.commit("ns", "n", "bare", parent="nothing"), NotFound),
        (lambda s: s.commit("ns", "n", "bare", parent="view"), InvalidArgument),
        (lambda s: s.commit("ns", "", "active"), InvalidArgument),
        (lambda s: s.mounts("ns", "nothing"), NotFound),
        (lambda s: s.mounts("ns", "two"), FailedPrecondition),
        (lambda s: s.remove("ns", "nothing"), NotFound),
        (lambda s: s.remove("ns", "one"), FailedPrecondition),
        (lambda s: s.stat("ns", "nothing"), NotFound),
        (lambda s: s.usage("ns", "nothing"), NotFound),
        (lambda s: s.update("ns", SnapshotInfo("nothing")), NotFound),
        (lambda s: s.update("ns", SnapshotInfo("")), InvalidArgument),
        (lambda s: s.update("ns", SnapshotInfo("two"), ["parent"]), InvalidArgument),
        (lambda s: s.list("ns", ["kind=="]), Unknown),
        (lambda s: s.cleanup("ns"), Unimplemented),
    ],
)
def test_a_wrong_request_has_its_error_and_changes_nothing(
    world: World, act: Callable[[object], object], error: type[PycontainerdError]
) -> None:
    _two_layers(world)
    world.snapshots.prepare("ns", "active", "two")
    world.snapshots.prepare("ns", "bare")
    world.snapshots.view("ns", "view", "two")
    names = [info.name for info in world.snapshots.list("ns")]
    there = world.directories()
    world.events.clear()

    with pytest.raises(error):
        act(world.snapshots)

    assert [info.name for info in world.snapshots.list("ns")] == names
    assert world.directories() == there
    assert world.events == []


def test_a_parent_with_children_goes_last(world: World) -> None:
    _two_layers(world)
    world.snapshots.prepare("ns", "top", "two")
    for name in ("one", "two"):
        with pytest.raises(FailedPrecondition, match="parent"):
            world.snapshots.remove("ns", name)

    for name in ("top", "two", "one"):
        world.snapshots.remove("ns", name)

    assert list(world.snapshots.list("ns")) == []
    assert world.directories() == set()


def test_events_tell_of_everything_but_views(world: World) -> None:
    _two_layers(world)
    world.snapshots.prepare("ns", "key", "two")
    world.snapshots.commit("ns", "three", "key")
    world.snapshots.view("ns", "view", "three")
    world.snapshots.remove("ns", "view")

    told = [(namespace, topic, message.key) for namespace, topic, message in world.events]
    assert told == [("ns", "/snapshot/prepare", "key"), ("ns", "/snapshot/commit", "key"),
                    ("ns", "/snapshot/remove", "view")]  # fmt: skip
    assert world.events[0][2].parent == "two"
    assert world.events[1][2].name == "three"
    assert {event[2].snapshotter for event in world.events} == {world.snapshots.name}


def test_namespaces_do_not_see_each_other(world: World) -> None:
    _two_layers(world)

    assert list(world.snapshots.list("elsewhere")) == []
    with pytest.raises(NotFound):
        world.snapshots.prepare("elsewhere", "key", "two")
    world.snapshots.prepare("elsewhere", "one")
    assert world.snapshots.stat("ns", "one").kind is Kind.COMMITTED


def test_labels_are_replaced_or_changed_one_by_one(world: World) -> None:
    world.snapshots.prepare("ns", "key", labels={"a.b/c": "1", "d": "2", "empty": ""})
    assert world.snapshots.stat("ns", "key").labels == {"a.b/c": "1", "d": "2"}

    changed = world.snapshots.update("ns", SnapshotInfo("key", labels={"a.b/c": "9", "d": "8"}), ["labels.a.b/c"])
    assert changed.labels == {"a.b/c": "9", "d": "2"}
    assert world.snapshots.update("ns", SnapshotInfo("key", labels={"a.b/c": ""}), ["labels.a.b/c"]).labels == {
        "d": "2"
    }
    assert world.snapshots.update("ns", SnapshotInfo("key", labels={"new": "1"})).labels == {"new": "1"}
    assert world.snapshots.update("ns", SnapshotInfo("key"), ["labels"]).labels == {}


def test_filters_choose_by_kind_name_parent_and_label(world: World) -> None:
    _two_layers(world)
    world.snapshots.prepare("ns", "key", "two", {"team": "blue"})

    def names(*filters: str) -> list[str]:
        return [info.name for info in world.snapshots.list("ns", filters)]

    assert names() == ["key", "one", "two"]
    assert names("kind==committed") == ["one", "two"]
    assert names("parent==two") == ["key"]
    assert names("name==one", "labels.team==blue") == ["key", "one"]


def test_usage_is_that_of_the_layer(world: World) -> None:
    world.layer("one", "", lambda tree: (tree / "big").write_bytes(b"x" * 100_000))
    committed = world.snapshots.usage("ns", "one")
    assert committed.size >= 100_000
    assert committed.inodes == 2

    world.snapshots.prepare("ns", "key", "one")
    before = world.snapshots.usage("ns", "key")
    with world.mounted(world.snapshots.mounts("ns", "key")) as tree:
        (tree / "more").write_bytes(b"x" * 50_000)
    after = world.snapshots.usage("ns", "key")

    assert after.inodes == before.inodes + 1
    assert 50_000 <= after.size - before.size < 70_000


def test_a_lease_follows_from_key_to_name(world: World) -> None:
    world.leases.create("ns", "lease")
    type_ = f"snapshots/{world.snapshots.name}"

    def held() -> list[tuple[str, str]]:
        return [(item.type, item.id) for item in world.leases.list_resources("ns", "lease")]

    world.snapshots.prepare("ns", "key", lease="lease")
    assert held() == [(type_, "key")]
    world.snapshots.commit("ns", "name", "key")
    assert held() == [(type_, "name")]
    world.snapshots.remove("ns", "name")
    assert held() == []


def test_a_commit_may_bring_the_parent_where_the_driver_can(world: World) -> None:
    world.layer("one", "", lambda tree: (tree / "a").write_text("1"))
    with world.mounted(world.snapshots.prepare("ns", "key")) as tree:
        (tree / "b").write_text("2")
    if "rebase" not in world.driver.capabilities:
        with pytest.raises(InvalidArgument, match="rebase"):
            world.snapshots.commit("ns", "two", "key", parent="one")
        return

    world.snapshots.commit("ns", "two", "key", parent="one")

    assert world.snapshots.stat("ns", "two").parent == "one"
    with world.viewed("two") as tree:
        assert sorted(path.name for path in tree.iterdir()) == ["a", "b"]


def test_everything_is_there_after_a_restart(world: World) -> None:
    _two_layers(world)
    mounts = world.snapshots.prepare("ns", "key", "two")
    before = list(world.snapshots.list("ns"))

    world.restart()

    assert list(world.snapshots.list("ns")) == before
    assert world.snapshots.mounts("ns", "key") == mounts
    world.snapshots.prepare("ns", "another", "two")
    with world.mounted(mounts) as tree:
        assert (tree / "a").read_text() == "1"


def test_the_sweep_takes_directories_without_a_row_only(world: World) -> None:
    _two_layers(world)
    world.snapshots.prepare("ns", "key", "two")
    there = world.directories()
    base = world.root / world.snapshots.name / "snapshots"
    shutil.copytree(base / "1", base / "77")
    shutil.copytree(base / "1", base / "rm-78")

    world.restart()
    world.snapshots.prepare("ns", "new")
    world.snapshots.sweep()

    assert world.directories() == there | {"79"}


def test_a_directory_that_cannot_be_removed_now_is_removed_soon(world: World) -> None:
    """A container whose creation was given up may still be putting something into its root."""
    world.snapshots.prepare("ns", "key")
    failpoint.arm("snapshot.remove.renamed", "error:ENOTEMPTY")
    try:
        world.snapshots.remove("ns", "key")
    finally:
        failpoint.disarm()
    assert world.directories() == {"rm-1"}

    world.snapshots.close()  # waits for what it does in the background

    assert world.directories() == set()


def test_failure_while_making_leaves_nothing(world: World) -> None:
    _two_layers(world)
    there = world.directories()
    failpoint.arm("snapshot.prepare.dir", "error:ENOSPC")
    try:
        with pytest.raises(ResourceExhausted, match='snapshot "key"'):
            world.snapshots.prepare("ns", "key", "two")
    finally:
        failpoint.disarm()

    assert world.directories() == there
    world.snapshots.prepare("ns", "key", "two")


def test_a_layer_whose_directory_is_gone_is_lost_until_it_is_made_again(world: World) -> None:
    _two_layers(world)
    world.snapshots.prepare("ns", "key", "two")
    shutil.rmtree(world.root / world.snapshots.name / "snapshots" / "1")

    world.restart()

    for name in ("one", "two"):
        with pytest.raises(NotFound):
            world.snapshots.stat("ns", name)
    with pytest.raises(DataLoss, match="pull the image again"):
        world.snapshots.mounts("ns", "key")
    _two_layers(world)
    assert world.snapshots.stat("ns", "key").parent == "two"
    with world.mounted(world.snapshots.mounts("ns", "key")) as tree:
        assert (tree / "a").read_text() == "1"
    for name in ("key", "two", "one"):
        world.snapshots.remove("ns", name)
    assert world.directories() == set()


def test_a_reboot_before_the_sync_makes_layers_lost(world: World) -> None:
    _two_layers(world)
    world.snapshots.prepare("ns", "key", "two")
    world.snapshots.close()  # it syncs; what follows undoes that
    world.database.write(lambda connection: connection.execute("UPDATE snapshots SET boot = 'this boot' WHERE id = 2"))

    world.restart(boot="next boot")

    assert world.snapshots.stat("ns", "one").kind is Kind.COMMITTED
    with pytest.raises(NotFound):
        world.snapshots.stat("ns", "two")
    assert world.snapshots.stat("ns", "key").kind is Kind.ACTIVE


def test_a_reboot_after_the_sync_changes_nothing(world: World) -> None:
    _two_layers(world)
    before = list(world.snapshots.list("ns"))

    world.restart(boot="next boot")

    assert list(world.snapshots.list("ns")) == before


def test_an_active_snapshot_whose_directory_is_gone_is_forgotten(world: World) -> None:
    world.snapshots.prepare("ns", "key")
    shutil.rmtree(world.root / world.snapshots.name / "snapshots" / "1")

    world.restart()

    with pytest.raises(NotFound):
        world.snapshots.mounts("ns", "key")
    world.snapshots.prepare("ns", "key")


def test_a_collection_sees_parents_and_removes_rows_then_directories(world: World) -> None:
    _two_layers(world)
    name = world.snapshots.name
    items = {
        item.node: item for item in world.database.read(lambda connection: list(world.snapshots.items(connection)))
    }
    two = snapshot_node("ns", name, "two")
    assert items[two].references == (snapshot_node("ns", name, "one"),)
    assert two.kind is NodeKind.SNAPSHOT

    world.database.write(lambda connection: world.snapshots.remove_collected(connection, list(items)))
    world.snapshots.sweep()

    assert list(world.snapshots.list("ns")) == []
    assert world.directories() == set()
    assert {topic for _, topic, _ in world.events} == {"/snapshot/remove"}


def test_usage_of_a_view_with_a_parent_is_small(world: World) -> None:
    _two_layers(world)
    world.snapshots.view("ns", "view", "two")

    assert world.snapshots.usage("ns", "view") in (Usage(), Usage(4096, 1))
