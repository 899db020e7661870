"""Container records."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pycontainerd.core import happenings
from pycontainerd.core.containers import Container, adaptor, updated, validated
from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.core.events import discard
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.gc import Item, Kind, Node, snapshot_node
from pycontainerd.core.happenings import untold
from pycontainerd.core.supervision import NoContainerWatcher
from pycontainerd.stores import names, namespaces
from pycontainerd.stores.columns import (
    any_of,
    anys_from_text,
    anys_to_text,
    from_micros,
    from_text,
    labels_for_gc,
    now,
    to_micros,
    to_text,
)
from pycontainerd.wire.messages.events_container import ContainerCreate, ContainerDelete, ContainerUpdate
from pycontainerd.wire.messages.google import Any as WireAny

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from sqlite3 import Connection

    from pycontainerd.core.events import Publish
    from pycontainerd.core.happenings import Tell
    from pycontainerd.core.supervision import ContainerWatcher
    from pycontainerd.core.values import AnyValue
    from pycontainerd.stores.database import Database

    Step = Callable[[Connection], None]
    """What else belongs into the transaction of a change; it comes last, and may be run again."""

_COLUMNS = (
    "id, labels, image, runtime, options_type, options, spec_type, spec, snapshotter, snapshot_key, sandbox,"
    " extensions, created_at, updated_at"
)
_PUT = f"INSERT OR REPLACE INTO containers (namespace, {_COLUMNS}) VALUES ({', '.join('?' * 15)})"


class Containers:
    """``core.containers.ContainerStore`` on the database. ``watcher`` is told of each change, before it is published.

    A container's label ``io.pycontainerd/name`` is its name: the row is taken, changed and given up with the label.
    """

    def __init__(self, database: Database, publish: Publish = discard, tell: Tell = untold) -> None:
        self._database, self._publish, self._tell = database, publish, tell
        self.watcher: ContainerWatcher = NoContainerWatcher()

    def get(self, namespace: str, id: str) -> Container:
        """Raises NotFound."""
        return self._database.read(lambda connection: _get(connection, namespace, id))

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Container]:
        """The containers that pass the filters (id, runtime.name, image, labels), by id. Raises InvalidArgument."""
        matches = compile_filters(filters)
        query = f"SELECT {_COLUMNS} FROM containers WHERE namespace = ? ORDER BY id"
        rows = self._database.read(lambda connection: connection.execute(query, (namespace,)).fetchall())
        return [container for container in (_container(row) for row in rows) if matches(adaptor(container))]

    def create(self, namespace: str, container: Container, *, lease: str = "", also: Step | None = None) -> Container:
        """A container is a root: a lease has nothing to hold here. Raises AlreadyExists (id, name), InvalidArgument."""
        at = now()
        container = replace(validated(container), created_at=at, updated_at=at)
        options = container.runtime_options
        message = ContainerCreate(
            id=container.id,
            image=container.image,
            runtime=ContainerCreate.Runtime(
                name=container.runtime,
                options=None if options is None else WireAny(type_url=options.type_url, value=options.value),
            ),
        )

        def change(connection: Connection) -> None:
            namespaces.ensure(connection, namespace)
            if _find(connection, namespace, container.id) is not None:
                raise AlreadyExists("container", container.id)
            if name := names.label_of(container):
                names.bind(connection, namespace, container.id, name)
            connection.execute(_PUT, _row(namespace, container, at, at))
            self._database.after_commit(lambda: self.watcher.changed(namespace, container))
            if also is not None:
                also(connection)
            self._send(namespace, "/containers/create", message)
            self._database.after_commit(lambda: self._tell(namespace, happenings.record("create", container)))

        self._database.write(change)
        return container

    def update(
        self, namespace: str, container: Container, paths: Sequence[str] = (), *, also: Step | None = None
    ) -> Container:
        """Replace the masked fields (labels, spec, extensions, image, snapshotkey; no mask: all). Raises NotFound,
        InvalidArgument, AlreadyExists (name).
        """
        if not container.id:
            raise InvalidArgument("container id must not be empty")

        def change(connection: Connection) -> Container:
            old = _get(connection, namespace, container.id)
            at = now()
            result = replace(updated(old, container, paths), updated_at=at)
            if (name := names.label_of(result)) != names.label_of(old):
                names.bind(connection, namespace, result.id, name)
            connection.execute(_PUT, _row(namespace, result, result.created_at or at, at))
            message = ContainerUpdate(
                id=result.id, image=result.image, labels=result.labels, snapshot_key=result.snapshot_key
            )
            self._database.after_commit(lambda: self.watcher.changed(namespace, result))
            if also is not None:
                also(connection)
            self._send(namespace, "/containers/update", message)
            return result

        return self._database.write(change)

    def delete(self, namespace: str, id: str, *, also: Step | None = None) -> None:
        """Delete the record; a running task is the caller's business. Raises NotFound."""

        def change(connection: Connection) -> None:
            last = _get(connection, namespace, id)
            connection.execute("DELETE FROM containers WHERE namespace = ? AND id = ?", (namespace, id))
            self._database.after_commit(lambda: self.watcher.deleted(namespace, id))
            if also is not None:
                also(connection)
            self._send(namespace, "/containers/delete", ContainerDelete(id=id))
            self._database.after_commit(lambda: self._tell(namespace, happenings.record("destroy", last)))

        self._database.write(change, frees=True)

    # -- garbage collection (collector.Store) -----------------------------------------------------------------------

    def items(self, connection: Connection) -> Iterator[Item]:
        """Every container, a root, with its snapshot. It does not keep its image."""
        query = "SELECT namespace, id, labels, snapshotter, snapshot_key FROM containers"
        for namespace, key, labels, snapshotter, snapshot in connection.execute(query):
            references = [snapshot_node(namespace, snapshotter, snapshot)] if snapshotter else []
            yield Item(Node(Kind.CONTAINER, namespace, key), labels_for_gc(labels), references, root=True)

    def remove_collected(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Nothing: a container is never garbage."""

    def sweep(self) -> None:
        """Nothing: a container is a row and no more."""

    def _send(self, namespace: str, topic: str, message: ContainerCreate | ContainerUpdate | ContainerDelete) -> None:
        self._database.after_commit(lambda: self._publish(namespace, topic, message))


def _find(connection: Connection, namespace: str, id: str) -> Container | None:
    query = f"SELECT {_COLUMNS} FROM containers WHERE namespace = ? AND id = ?"
    row = connection.execute(query, (namespace, id)).fetchone()
    return None if row is None else _container(row)


def _get(connection: Connection, namespace: str, id: str) -> Container:
    found = _find(connection, namespace, id)
    if found is None:
        raise NotFound("container", id)
    return found


def _row(namespace: str, container: Container, created: datetime, changed: datetime) -> tuple[Any, ...]:
    return (
        namespace,
        container.id,
        to_text(container.labels),
        container.image,
        container.runtime,
        *_columns(container.runtime_options),
        *_columns(container.spec),
        container.snapshotter,
        container.snapshot_key,
        container.sandbox,
        anys_to_text(container.extensions),
        to_micros(created),
        to_micros(changed),
    )


def _columns(value: AnyValue | None) -> tuple[str | None, bytes | None]:
    return (None, None) if value is None else (value.type_url, value.value)


def _container(row: tuple[Any, ...]) -> Container:
    return Container(
        id=row[0],
        labels=from_text(row[1]),
        image=row[2],
        runtime=row[3],
        runtime_options=any_of(row[4], row[5]),
        spec=any_of(row[6], row[7]),
        snapshotter=row[8],
        snapshot_key=row[9],
        sandbox=row[10],
        extensions=anys_from_text(row[11]),
        created_at=from_micros(row[12]),
        updated_at=from_micros(row[13]),
    )
