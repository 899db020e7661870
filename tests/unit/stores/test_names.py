"""Names of containers as rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pycontainerd.core.containers import Container
from pycontainerd.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from pycontainerd.core.settings import EXTENSION, NAME_LABEL, TYPE_URL
from pycontainerd.core.values import AnyValue
from pycontainerd.stores import names as module
from pycontainerd.stores.columns import now
from pycontainerd.stores.containers import Containers
from pycontainerd.stores.database import Database
from pycontainerd.stores.names import Names
from pycontainerd.stores.schema import STEPS

NS = "default"
SPEC = AnyValue("spec", b"{}")


class Store:
    def __init__(self, path: Path) -> None:
        self.events: list[tuple[str, object]] = []

        def publish(_namespace: str, topic: str, message: object) -> None:
            self.events.append((topic, message))

        self.database = Database(f"{path}/metadata.db", STEPS)
        self.names, self.containers = Names(self.database, publish), Containers(self.database, publish)

    def make(self, id: str, name: str = "", namespace: str = NS) -> Container:
        settings = AnyValue(TYPE_URL, json.dumps({"Name": name, "Config": {}}).encode())
        labels = {NAME_LABEL: name} if name else {}
        return self.containers.create(
            namespace, Container(id, labels, runtime="r", spec=SPEC, extensions={EXTENSION: settings})
        )

    def owners(self, namespace: str = NS) -> dict[str, str]:
        return {each.name: each.container for each in self.names.list(namespace)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.database.close()


def test_a_name_is_reserved_bound_and_released_with_its_container(store: Store) -> None:
    assert store.names.reserve(NS, ["web"], "c1") == "web"
    assert not store.names.list(NS)[0].bound
    store.make("c1", "web")
    assert store.names.list(NS)[0].bound
    store.names.release(NS, "web", "c1")  # a container's name is no reservation
    assert store.owners() == {"web": "c1"}
    store.containers.delete(NS, "c1")
    assert store.owners() == {}


def test_an_update_of_the_record_keeps_the_name(store: Store) -> None:
    made = store.make("c1", "web")
    store.containers.update(NS, replace(made, image="other"), ("image",))
    assert store.owners() == {"web": "c1"}


def test_whoever_comes_second_is_told_who_has_it(store: Store) -> None:
    store.make("c1", "web")
    with pytest.raises(AlreadyExists) as caught:
        store.names.reserve(NS, ["web"], "c2")
    assert 'The container name "/web" is already in use by container "c1"' in str(caught.value)
    assert store.names.reserve(NS, ["web", "web2", "web3"], "c2") == "web2"
    assert store.names.reserve("elsewhere", ["web"], "c2") == "web"
    store.names.release(NS, "/web2", "c2")
    assert store.owners() == {"web": "c1"}


@pytest.mark.parametrize("name", ["", "a", "-web", "we b", "x" * 256, "ä" * 4])
def test_bad_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidArgument, match="container name"):
        store.names.reserve(NS, [name], "c1")
    with pytest.raises(InvalidArgument):
        store.names.reserve(NS, [], "c1")


def test_a_container_that_exists_is_renamed_not_reserved_for(store: Store) -> None:
    store.make("c1", "web")
    with pytest.raises(FailedPrecondition, match="rename it"):
        store.names.reserve(NS, ["other"], "c1")


def test_of_many_at_once_one_gets_it(store: Store) -> None:
    won: list[str] = []

    def attempt(id: str) -> None:
        try:
            store.names.reserve(NS, ["web"], id)
        except AlreadyExists:
            return
        won.append(id)

    threads = [threading.Thread(target=attempt, args=(f"c{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.owners()["web"]] == won


def test_what_was_left_behind_is_taken_over_and_its_maker_comes_too_late(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.names.reserve(NS, ["web"], "c1")
    with pytest.raises(AlreadyExists):
        store.names.reserve(NS, ["web"], "c2")
    later = now() + timedelta(seconds=module.STALE + 1)
    monkeypatch.setattr(module, "now", lambda: later)
    assert store.names.reserve(NS, ["web"], "c2") == "web"
    store.make("c2", "web")
    with pytest.raises(AlreadyExists, match="in use"):
        store.make("c1", "web")
    with pytest.raises(NotFound):
        store.containers.get(NS, "c1")


def test_a_label_alone_takes_a_name(store: Store) -> None:
    store.make("c1", "web")
    with pytest.raises(AlreadyExists):
        store.make("c2", "web")
    other = store.make("c2")
    with pytest.raises(AlreadyExists):
        store.containers.update(NS, replace(other, labels={NAME_LABEL: "web"}), (f"labels.{NAME_LABEL}",))
    store.containers.update(NS, replace(other, labels={NAME_LABEL: "db"}), (f"labels.{NAME_LABEL}",))
    assert store.owners() == {"web": "c1", "db": "c2"}
    store.containers.update(NS, replace(other, labels={}), (f"labels.{NAME_LABEL}",))
    assert store.owners() == {"web": "c1"}
    store.containers.create(NS, Container("c3", {NAME_LABEL: "not a name!"}, runtime="r"))
    assert "c3" not in store.owners().values()


def test_references_are_resolved_by_id_name_and_beginning(store: Store) -> None:
    first, second = "aa" + "0" * 62, "ab" + "0" * 62
    store.make(first, "web")
    store.make(second, "aa")
    store.make("c-1")
    assert store.names.resolve(NS, first) == (first, "web")
    assert store.names.resolve(NS, "/web") == (first, "web")
    assert store.names.resolve(NS, "aa") == (second, "aa")  # a name goes before the beginning of an id
    assert store.names.resolve(NS, "aa0") == (first, "web")
    assert store.names.resolve(NS, "c-1") == ("c-1", "")
    with pytest.raises(InvalidArgument, match=r"aa0000000000 \(web\), ab0000000000 \(aa\)"):
        store.names.resolve(NS, "a")
    for nothing in ("b", "c-", "we", "nobody"):
        with pytest.raises(NotFound, match=f"No such container: {nothing}"):
            store.names.resolve(NS, nothing)


def test_a_reservation_is_no_container(store: Store) -> None:
    store.names.reserve(NS, ["web"], "c1")
    with pytest.raises(NotFound):
        store.names.resolve(NS, "web")


def test_renaming_changes_row_label_and_settings_at_once(store: Store) -> None:
    store.make("c1", "web")
    store.make("c2", "db")
    assert store.names.rename(NS, "c1", "/front") == "web"
    assert store.owners() == {"front": "c1", "db": "c2"}
    record = store.containers.get(NS, "c1")
    assert record.labels[NAME_LABEL] == "front"
    assert json.loads(record.extensions[EXTENSION].value) == {"Name": "front", "Config": {}}
    topic, message = store.events[-1]
    assert topic == "/names/rename"
    assert (message.old, message.new) == ("web", "front")  # type: ignore[attr-defined]
    with pytest.raises(AlreadyExists, match='by container "c2"'):
        store.names.rename(NS, "c1", "db")
    with pytest.raises(InvalidArgument, match="same name"):
        store.names.rename(NS, "c1", "front")
    with pytest.raises(NotFound):
        store.names.rename(NS, "nobody", "x1")
    assert store.names.reserve(NS, ["web"], "c3") == "web"


def test_a_fresh_reservation_holds_the_snapshot_of_its_id(store: Store) -> None:
    store.names.reserve(NS, ["web"], "c1")

    def add(connection: object) -> None:
        connection.execute(  # type: ignore[attr-defined]
            "INSERT INTO snapshots (snapshotter, id, namespace, key, kind, created_at, updated_at)"
            " VALUES ('overlayfs', 1, 'default', 'c1', 'active', 0, 0)"
        )

    store.database.write(add)
    items = store.database.read(lambda connection: list(store.names.items(connection)))
    assert [(item.root, [node.key for node in item.references]) for item in items] == [(True, ["overlayfs/c1"])]
    store.make("c1", "web")
    assert store.database.read(lambda connection: list(store.names.items(connection))) == []
