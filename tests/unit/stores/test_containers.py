"""Containers on the database."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.containers import Container
from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.core.values import AnyValue
from pycontainerd.stores.containers import Containers
from pycontainerd.wire.messages.events_container import ContainerCreate, ContainerUpdate

if TYPE_CHECKING:
    from pycontainerd.stores.database import Database

    from .conftest import Heard

SPEC = AnyValue("types.containerd.io/opencontainers/runtime-spec/1/Spec", b'{"ociVersion":"1.1.0"}\xff\x00')
CONTAINER = Container(
    "c1",
    {"a": "1"},
    image="busybox",
    runtime="io.containerd.runc.v2",
    runtime_options=AnyValue("containerd.runc.v1.Options", b"\x01"),
    spec=SPEC,
    snapshotter="overlayfs",
    snapshot_key="c1",
    extensions={"ext/x": AnyValue("t", b"\xff"), "empty": AnyValue("u")},
    sandbox="pod",
)


def test_life_of_a_container(database: Database, heard: Heard) -> None:
    store = Containers(database, heard.publish)
    made = store.create("n", CONTAINER)
    found = store.get("n", "c1")
    assert found == made
    assert replace(found, created_at=None, updated_at=None) == CONTAINER
    with pytest.raises(AlreadyExists):
        store.create("n", CONTAINER)
    changed = store.update("n", replace(CONTAINER, image="other"), ["image"])
    assert changed == store.get("n", "c1")
    assert changed.image == "other"
    assert changed.created_at == made.created_at
    store.delete("n", "c1")
    for call in (store.get, store.delete):
        with pytest.raises(NotFound, match='container "c1": not found'):
            call("n", "c1")
    with pytest.raises(NotFound):
        store.update("n", CONTAINER)
    assert heard.topics == ["/containers/create", "/containers/update", "/containers/delete"]
    created, updated = heard[0][2], heard[1][2]
    assert isinstance(created, ContainerCreate)
    assert created.runtime is not None
    assert created.runtime.options is not None
    assert (created.image, created.runtime.name, created.runtime.options.value) == (
        "busybox",
        "io.containerd.runc.v2",
        b"\x01",
    )
    assert isinstance(updated, ContainerUpdate)
    assert (updated.image, updated.labels, updated.snapshot_key) == ("other", {"a": "1"}, "c1")


def test_absent_values_stay_absent(database: Database) -> None:
    store = Containers(database)
    store.create("n", Container("bare", runtime="r"))
    found = store.get("n", "bare")
    assert found.spec is found.runtime_options is None
    store.create("n", Container("empty", runtime="r", spec=AnyValue("", b"")))
    assert store.get("n", "empty").spec == AnyValue("", b"")
    with pytest.raises(InvalidArgument, match="spec"):
        store.update("n", Container("bare", {"a": "b"}, runtime="r"), ["labels"])


def test_refusals(database: Database) -> None:
    store = Containers(database)
    with pytest.raises(InvalidArgument):
        store.update("n", replace(CONTAINER, id=""))
    with pytest.raises(InvalidArgument):
        store.list("n", ["id=x"])
    assert store.list("n") == []


def test_lists_are_by_namespace_and_filtered(database: Database) -> None:
    store = Containers(database)
    for name in ("b", "a"):
        store.create("n", replace(CONTAINER, id=name))
    store.create("other", CONTAINER)
    assert [container.id for container in store.list("n")] == ["a", "b"]
    assert [container.id for container in store.list("n", ["runtime.name==io.containerd.runc.v2,id==b"])] == ["b"]
    assert [container.id for container in store.list("other", ['labels."a"==1'])] == ["c1"]
