"""Images on the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.digest import of_bytes
from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.core.images import Image
from pycontainerd.core.values import Descriptor
from pycontainerd.stores.images import Images
from pycontainerd.stores.leases import Leases
from pycontainerd.wire.messages.events_image import ImageCreate

if TYPE_CHECKING:
    from pycontainerd.stores.database import Database

    from .conftest import Heard

IMAGE = Image("busybox", Descriptor("application/x", of_bytes(b"m"), 1, (("k", "v"),)), {"a": "1", "gone": ""})
EPOCH = datetime(2020, 1, 2, tzinfo=UTC)


def test_life_of_an_image(database: Database, heard: Heard) -> None:
    store = Images(database, heard.publish)
    made = store.create("n", IMAGE)
    assert made == store.get("n", "busybox")
    assert made.labels == {"a": "1"}
    assert made.target == IMAGE.target
    assert made.created_at == made.updated_at is not None
    with pytest.raises(AlreadyExists):
        store.create("n", IMAGE)
    changed = store.update("n", replace(IMAGE, labels={"b": "2"}), ["labels.b"])
    assert changed.labels == {"a": "1", "b": "2"}
    assert changed.created_at == made.created_at
    assert changed == store.get("n", "busybox")
    store.delete("n", "busybox")
    for call in (store.get, store.delete):
        with pytest.raises(NotFound, match='image "busybox": not found'):
            call("n", "busybox")
    with pytest.raises(NotFound):
        store.update("n", IMAGE)
    assert heard.topics == ["/images/create", "/images/update", "/images/delete"]
    assert isinstance(heard[0][2], ImageCreate)
    assert heard[0][2].labels == {"a": "1"}


def test_times_can_be_given(database: Database) -> None:
    store = Images(database)
    made = store.create("n", IMAGE, at=EPOCH)
    assert (made.created_at, made.updated_at) == (EPOCH, EPOCH)
    store.update("n", IMAGE, at=EPOCH.replace(year=2021))
    found = store.get("n", "busybox")
    assert (found.created_at, found.updated_at) == (EPOCH, EPOCH.replace(year=2021))


def test_lists_are_by_namespace_and_filtered(database: Database) -> None:
    store = Images(database)
    for name in ("b", "a", "docker.io/library/c:latest"):
        store.create("n", replace(IMAGE, name=name))
    store.create("other", IMAGE)
    assert [image.name for image in store.list("n")] == ["a", "b", "docker.io/library/c:latest"]
    assert [image.name for image in store.list("n", ["name==a", "name~=/c:latest$/"])] == [
        "a",
        "docker.io/library/c:latest",
    ]
    with pytest.raises(InvalidArgument):
        store.list("n", ["name=="])


def test_delete_guards_by_target(database: Database) -> None:
    store = Images(database)
    store.create("n", IMAGE)
    with pytest.raises(NotFound, match="points at"):
        store.delete("n", "busybox", target=of_bytes(b"other"))
    store.delete("n", "busybox", target=IMAGE.target.digest)


def test_sync_delete_collects(database: Database) -> None:
    runs: list[int] = []
    store = Images(database, collect=lambda: runs.append(1))
    store.create("n", IMAGE)
    store.delete("n", "busybox")
    assert runs == []
    store.create("n", IMAGE)
    store.delete("n", "busybox", sync=True)
    assert runs == [1]


def test_a_lease_holds_what_is_created_under_it(database: Database) -> None:
    store, leases = Images(database), Leases(database)
    with pytest.raises(NotFound, match="lease"):
        store.create("n", IMAGE, lease="l")
    leases.create("n", "l")
    store.create("n", IMAGE, lease="l")
    assert [(found.type, found.id) for found in leases.list_resources("n", "l")] == [("images", "busybox")]


def test_refused_changes_are_not_told(database: Database, heard: Heard) -> None:
    store = Images(database, heard.publish)
    with pytest.raises(InvalidArgument):
        store.create("n", replace(IMAGE, name=""))
    with pytest.raises(InvalidArgument):
        store.update("n", replace(IMAGE, name=""))
    store.create("n", IMAGE)
    with pytest.raises(InvalidArgument):
        store.update("n", IMAGE, ["size"])
    assert heard.topics == ["/images/create"]
