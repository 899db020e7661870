"""The collector on real stores."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.containers import Container
from pycontainerd.core.errors import AlreadyExists, NotFound, Unavailable
from pycontainerd.core.gc import Kind, Node
from pycontainerd.core.leases import LeaseResource
from pycontainerd.stores.collector import Collector, Schedule
from pycontainerd.stores.containers import Containers
from pycontainerd.stores.content import Content
from pycontainerd.stores.images import Images
from pycontainerd.stores.leases import Leases

from .test_images import IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pycontainerd.stores.database import Database

    from .conftest import Heard

QUICK = Schedule(startup=0.01, interval=0.01, share=1.0)
REF = "containerd.io/gc.ref.content.l.0"
EXPIRE = "containerd.io/gc.expire"


class World:
    """Every store over one database, and a collector over them."""

    def __init__(self, database: Database, root: Path, heard: Heard, schedule: Schedule) -> None:
        self.root = root
        self.images = Images(database, heard.publish)
        self.leases = Leases(database)
        self.content = Content(database, str(root / "content"), heard.publish)
        self.containers = Containers(database, heard.publish)
        self.collector = Collector(database, [self.images, self.leases, self.content, self.containers], schedule)
        self.images.collect = self.leases.collect = self.collector.collect

    def put(self, data: bytes, lease: str = "", **labels: str) -> str:
        with self.content.writer("n", f"put {data!r}", lease=lease) as writer:
            writer.write(data)
            return writer.commit(labels=labels)

    def files(self) -> int:
        return len(list((self.root / "content" / "blobs").glob("*/*")))


@pytest.fixture
def world(database: Database, tmp_path: Path, heard: Heard) -> Iterator[World]:
    made = World(database, tmp_path, heard, QUICK)
    yield made
    made.collector.close()


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_an_image_keeps_its_blobs_and_its_deletion_frees_them(world: World, heard: Heard) -> None:
    layer = world.put(b"layer")
    manifest = world.put(b"m", **{REF: layer})
    world.images.create("n", IMAGE)
    stray = world.put(b"stray")
    assert world.collector.plan().garbage == [Node(Kind.CONTENT, "n", stray)]
    assert [node.key for node in world.collector.collect().removed] == [stray]
    assert world.files() == 2
    steps = world.collector.explain("n", layer)
    assert [step.node.key for step in steps] == ["busybox", manifest, layer]
    assert world.collector.explain("n", stray) == []
    world.images.delete("n", "busybox", sync=True)
    assert world.files() == 0
    with pytest.raises(NotFound):
        world.content.info("n", layer)
    assert "/content/delete" not in heard.topics


def test_a_lease_protects_until_it_is_deleted(world: World) -> None:
    world.leases.create("n", "l")
    digest = world.put(b"x", lease="l")
    writer = world.content.writer("n", "ref", lease="l")
    writer.close()
    assert world.collector.collect().removed == []
    assert [step.node.kind for step in world.collector.explain("n", digest)] == [Kind.LEASE, Kind.CONTENT]
    world.leases.delete("n", "l", sync=True)
    assert world.files() == 0
    assert world.content.status("n", "ref").offset == 0, "an ingest is kept for a day without a lease"


def test_an_old_ingest_goes_unless_it_is_being_written(world: World, database: Database) -> None:
    def age(connection: object) -> None:
        connection.execute("UPDATE ingests SET started_at = started_at - 86400000001")  # type: ignore[attr-defined]

    with world.content.writer("n", "ref") as writer:
        writer.write(b"x")
        database.write(age)
        assert world.collector.collect().removed == []
    assert [node.key for node in world.collector.collect().removed] == ["ref"]
    with pytest.raises(NotFound):
        world.content.status("n", "ref")
    assert list((world.root / "content" / "ingest").iterdir()) == []


def test_an_ingest_protects_what_it_expects(world: World) -> None:
    digest = world.put(b"x")
    world.content.delete("n", digest)
    world.content.writer("n", "ref", expected=digest).close()
    with world.content.writer("n", "other") as writer:
        writer.write(b"x")
        writer.commit()
    assert world.collector.collect().removed == []


def test_expired_images_and_leases_go_with_their_events(world: World, heard: Heard) -> None:
    labels = {EXPIRE: soon(-1)}
    world.images.create("n", type(IMAGE)(IMAGE.name, IMAGE.target, labels))
    world.leases.create("n", "l", labels)
    world.leases.add_resource("n", "l", LeaseResource("images", "other"))
    heard.clear()
    removed = world.collector.collect().removed
    assert {(node.kind, node.key) for node in removed} == {(Kind.IMAGE, "busybox"), (Kind.LEASE, "l")}
    assert heard.topics == ["/images/delete"]
    assert world.leases.list("n") == []


def test_containers_are_never_garbage(world: World) -> None:
    digest = world.put(b"x")
    world.containers.create("n", Container("c", {"containerd.io/gc.ref.content": digest}, runtime="r"))
    assert world.collector.collect().removed == []
    world.containers.delete("n", "c")
    assert [node.key for node in world.collector.collect().removed] == [digest]


def test_garbage_in_one_namespace_leaves_the_others_bytes(world: World) -> None:
    digest = world.put(b"x")
    with world.content.writer("other", "ref", expected=digest) as writer:
        writer.commit(labels={"containerd.io/gc.root": "yes"})
    assert world.collector.collect().removed == [Node(Kind.CONTENT, "n", digest)]
    assert world.content.read("other", digest) == b"x"


def test_it_runs_at_start_and_after_deletions(world: World) -> None:
    world.put(b"left by a crash")
    world.collector.start()
    eventually(lambda: world.files() == 0)
    world.put(b"m")
    world.images.create("n", IMAGE)
    time.sleep(0.1)
    assert world.files() == 1
    world.images.delete("n", "busybox")
    eventually(lambda: world.files() == 0)


def test_it_runs_after_many_changes(world: World) -> None:
    world.collector.start()
    time.sleep(0.1)
    world.put(b"x")
    for number in range(QUICK.mutations):
        world.leases.create("n", f"l{number}")
    eventually(lambda: world.files() == 0)


def test_it_runs_when_time_alone_makes_garbage(world: World) -> None:
    world.collector.start()
    time.sleep(0.1)
    world.leases.create("n", "l", {EXPIRE: soon(0.4)})
    world.put(b"x", lease="l")
    time.sleep(0.1)
    assert world.files() == 1
    eventually(lambda: world.files() == 0)
    assert world.leases.list("n") == []


def test_it_does_not_run_without_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.collector.start()
    world.put(b"m")
    world.images.create("n", IMAGE)
    time.sleep(0.1)
    runs: list[int] = []
    original = world.collector.plan

    def counted() -> object:
        runs.append(1)
        return original()

    monkeypatch.setattr(world.collector, "plan", counted)
    world.leases.create("n", "l")
    time.sleep(0.1)
    assert runs == []
    world.leases.delete("n", "l")
    eventually(lambda: runs == [1])
    time.sleep(0.1)
    assert runs == [1], "its own removals are no reason for another run"


def test_a_failing_store_loses_nothing_and_the_asker_hears_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(b"m")
    world.images.create("n", IMAGE)

    def broken(_: object) -> object:
        raise ValueError("no items today")

    monkeypatch.setattr(world.images, "items", broken)
    with pytest.raises(ValueError, match="no items"):
        world.collector.collect()
    assert world.files() == 1


def test_what_gains_a_reference_during_the_run_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is made between the look and the removal."""
    world.put(b"m")
    original = world.collector.plan

    def look() -> object:
        plan = original()
        world.images.create("n", IMAGE)
        return plan

    monkeypatch.setattr(world.collector, "plan", look)
    assert world.collector.collect().removed == []
    assert world.files() == 1


def test_concurrent_commits_and_collections_never_lose_a_kept_blob(world: World) -> None:
    world.leases.create("n", "l")
    errors: list[BaseException] = []
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            world.collector.collect()

    def put_kept(ref: str, data: bytes) -> None:
        with world.content.writer("n", ref, lease="l") as writer, suppress(AlreadyExists):
            writer.write(data)
            writer.commit()

    def write(worker: int) -> None:
        try:
            for number in range(40):
                put_kept(f"{worker}-{number}", b"shared %d" % (number // 4))
                world.put(b"garbage %d %d" % (worker, number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
    collecting = threading.Thread(target=collect)
    collecting.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    collecting.join()
    assert errors == []
    world.collector.collect()
    found = list(world.content.list("n"))
    assert len(found) == 10
    for info in found:
        assert world.content.read("n", info.digest).startswith(b"shared")
    assert world.files() == 10


def test_after_close_it_refuses(world: World) -> None:
    world.collector.start()
    world.collector.close()
    with pytest.raises(Unavailable):
        world.collector.collect()
