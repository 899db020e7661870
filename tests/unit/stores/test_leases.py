"""Leases on the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.digest import of_bytes
from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound, Unimplemented
from pycontainerd.core.leases import LeaseResource
from pycontainerd.stores import leases
from pycontainerd.stores.leases import Leases

if TYPE_CHECKING:
    from pycontainerd.stores.database import Database

BLOB = LeaseResource("content", of_bytes(b"x"))


def test_life_of_a_lease(database: Database) -> None:
    store = Leases(database)
    made = store.create("n", "l", {"a": "1", "b": ""})
    assert made.labels == {"a": "1"}
    assert list(store.list("n")) == [made]
    with pytest.raises(AlreadyExists):
        store.create("n", "l")
    store.add_resource("n", "l", BLOB)
    store.add_resource("n", "l", BLOB)
    store.add_resource("n", "l", LeaseResource("snapshots/overlayfs", "k"))
    assert store.list_resources("n", "l") == [BLOB, LeaseResource("snapshots/overlayfs", "k")]
    store.delete_resource("n", "l", BLOB)
    store.delete_resource("n", "l", BLOB)
    store.delete("n", "l")
    with pytest.raises(NotFound):
        store.delete("n", "l")
    store.create("n", "l")
    assert store.list_resources("n", "l") == []


def test_an_id_is_made_up_when_none_is_given(database: Database) -> None:
    store = Leases(database)
    assert store.create("n").id != store.create("n").id


@pytest.mark.parametrize("verb", ["add_resource", "delete_resource"])
def test_errors_of_resources(database: Database, verb: str) -> None:
    store = Leases(database)
    call = getattr(store, verb)
    with pytest.raises(NotFound, match="lease"):
        call("n", "none", BLOB)
    store.create("n", "l")
    with pytest.raises(Unimplemented):
        call("n", "l", LeaseResource("containers", "c"))
    with pytest.raises(InvalidArgument):
        call("n", "l", LeaseResource("snapshots", "k"))
    with pytest.raises(NotFound):
        store.list_resources("n", "none")


def test_filters(database: Database) -> None:
    store = Leases(database)
    store.create("n", "a", {"x": "1"})
    store.create("n", "b")
    assert [lease.id for lease in store.list("n", ["labels.x==1"])] == ["a"]
    assert [lease.id for lease in store.list("n", ["id!=a"])] == ["b"]
    with pytest.raises(InvalidArgument):
        store.list("n", ["id="])


def test_sync_delete_collects(database: Database) -> None:
    runs: list[int] = []
    store = Leases(database, collect=lambda: runs.append(1))
    store.create("n", "l")
    store.delete("n", "l", sync=True)
    assert runs == [1]


def test_moving_a_resource_moves_it_in_every_lease(database: Database) -> None:
    store = Leases(database)
    for lease in ("a", "b", "c"):
        store.create("n", lease)
    for lease in ("a", "b"):
        store.add_resource("n", lease, LeaseResource("ingests", "ref"))
    database.write(lambda connection: leases.move(connection, "n", ("ingests", "ref"), (BLOB.type, BLOB.id)))
    assert [list(store.list_resources("n", lease)) for lease in ("a", "b", "c")] == [[BLOB], [BLOB], []]
