"""Namespaces on the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from pycontainerd.core.leases import LeaseResource
from pycontainerd.core.namespaces import Namespace
from pycontainerd.stores.images import Images
from pycontainerd.stores.leases import Leases
from pycontainerd.stores.namespaces import Namespaces

from .test_images import IMAGE

if TYPE_CHECKING:
    from pycontainerd.stores.database import Database

    from .conftest import Heard


def test_life_of_a_namespace(database: Database, heard: Heard) -> None:
    store = Namespaces(database, heard.publish)
    store.create(Namespace("a", {"x": "1", "empty": ""}))
    assert store.get("a") == Namespace("a", {"x": "1"})
    with pytest.raises(AlreadyExists):
        store.create(Namespace("a"))
    store.update(Namespace("a", {"y.z": "2"}), ["labels.y.z"])
    assert store.get("a").labels == {"x": "1", "y.z": "2"}
    store.update(Namespace("a", {}), ["labels.x"])
    assert store.get("a").labels == {"y.z": "2"}
    store.delete("a")
    with pytest.raises(NotFound):
        store.delete("a")
    assert heard.topics == [f"/namespaces/{verb}" for verb in ("create", "update", "update", "delete")]
    assert {namespace for namespace, _, _ in heard} == {"a"}


def test_unknown_names(database: Database) -> None:
    store = Namespaces(database)
    assert store.get("nobody") == Namespace("nobody")
    assert store.update(Namespace("made", {"a": "b"}), ["labels.a"]).labels == {"a": "b"}
    assert [found.name for found in store.list()] == ["made"]
    assert store.list('labels.a==b,name~="^m"') == [Namespace("made", {"a": "b"})]


@pytest.mark.parametrize("path", ["labels", "name", "labelsx.a"])
def test_masks_other_than_single_labels_are_refused(database: Database, path: str) -> None:
    with pytest.raises(InvalidArgument):
        Namespaces(database).update(Namespace("a"), [path])


@pytest.mark.parametrize("name", ["", "a/b", "x" * 77])
def test_bad_names(database: Database, name: str) -> None:
    with pytest.raises(InvalidArgument):
        Namespaces(database).create(Namespace(name))


def test_delete_names_what_is_in_it_and_takes_leases_along(database: Database) -> None:
    store, images, leases = Namespaces(database), Images(database), Leases(database)
    images.create("a", IMAGE)
    leases.create("a", "l")
    leases.add_resource("a", "l", LeaseResource("images", "i"))
    with pytest.raises(FailedPrecondition, match="still holds images"):
        store.delete("a")
    images.delete("a", IMAGE.name)
    store.delete("a")
    assert leases.list("a") == []
    assert database.read(lambda c: c.execute("SELECT count(*) FROM lease_resources").fetchone()) == (0,)
