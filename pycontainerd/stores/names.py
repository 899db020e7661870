"""Names of containers: one row each, taken before the container is made and gone, by a trigger, with its record.

A row without a container is a reservation. Whoever made it may have been killed, so somebody else can take the name
after ``STALE`` seconds, or at once when the daemon was started anew; a container that is created after all then is
refused, so that no name is ever held twice. For ``HELD`` seconds a reservation keeps the container's snapshot from
being collected.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pycontainerd.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from pycontainerd.core.events import discard
from pycontainerd.core.gc import Item, Kind, Node, snapshot_node
from pycontainerd.core.identifiers import validate_identifier
from pycontainerd.core.names import Name, choose, may_be_id, plain
from pycontainerd.core.settings import EXTENSION, NAME_LABEL, check_name
from pycontainerd.core.values import AnyValue
from pycontainerd.stores import namespaces
from pycontainerd.stores.columns import anys_from_text, anys_to_text, from_micros, from_text, now, to_micros, to_text
from pycontainerd.wire.failpoint import hit
from pycontainerd.wire.messages.supervisor import Renamed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.containers import Container
    from pycontainerd.core.events import Publish
    from pycontainerd.stores.database import Database

STALE = 120
"""Seconds after which a reservation without a container no longer stands in anybody's way."""
HELD = 3600
"""Seconds for which a reservation keeps a snapshot."""
_MILLION = 1_000_000
_CANDIDATES = 6
"""Ids that are looked up for an ambiguous beginning: one more than are shown."""


def bind(connection: Connection, namespace: str, id: str, name: str) -> None:
    """Make ``name`` that of container ``id``, whose record is being written; no name gives up the one it had.

    Raises AlreadyExists when another container has it.
    """
    if not name:
        connection.execute("DELETE FROM names WHERE namespace = ? AND container = ?", (namespace, id))
        return
    owner = _owner(connection, namespace, name)
    if owner != id:
        if owner and _exists(connection, namespace, owner):
            raise taken(name, owner)
        _put(connection, namespace, name, id)


def taken(name: str, owner: str, *, reserved: bool = False) -> AlreadyExists:
    """The error for a name that somebody else has, or has reserved for a container to come."""
    hint = "remove or rename that container, or choose another name"
    if reserved:
        hint = "which is being created; choose another name, or try again in two minutes in case nobody finishes it"
    return AlreadyExists(f'The container name "/{name}" is already in use by container "{owner}"', hint=hint)


class Names:
    """``core.names.NameStore`` on the database."""

    def __init__(self, database: Database, publish: Publish = discard) -> None:
        self._database, self._publish = database, publish
        self._started = now()

    def reserve(self, namespace: str, names: Sequence[str], container: str) -> str:
        """Take the first free one of several names. Raises AlreadyExists (who has the last), InvalidArgument,
        FailedPrecondition for a container that exists: those are renamed.
        """
        wanted = [check_name(name) for name in names]
        if not wanted:
            raise InvalidArgument("no name was given to reserve")
        validate_identifier(container, "container id")

        def change(connection: Connection) -> str:
            namespaces.ensure(connection, namespace)
            if _exists(connection, namespace, container):
                raise FailedPrecondition("container", container, "it exists already: rename it")
            owner = ""
            for name in wanted:
                owner = _owner(connection, namespace, name)
                if owner in {"", container} or self._stale(connection, namespace, name, owner):
                    _put(connection, namespace, name, container)
                    return name
            raise taken(wanted[-1], owner, reserved=not _exists(connection, namespace, owner))

        # Not durable: the container's record, which is written soon and durably, binds the name once more.
        return self._database.write(change, durable=False)

    def _stale(self, connection: Connection, namespace: str, name: str, owner: str) -> bool:
        """Whether a reservation was left behind: long ago, or by a client that the last daemon took along."""
        if _exists(connection, namespace, owner):
            return False
        query = "SELECT reserved_at FROM names WHERE namespace = ? AND name = ?"
        (at,) = connection.execute(query, (namespace, name)).fetchone()
        return bool(at < max(to_micros(now()) - STALE * _MILLION, to_micros(self._started)))

    def release(self, namespace: str, name: str, container: str) -> None:
        """Give a reservation back; the name of a container that exists stays."""

        def change(connection: Connection) -> None:
            if not _exists(connection, namespace, container):
                query = "DELETE FROM names WHERE namespace = ? AND name = ? AND container = ?"
                connection.execute(query, (namespace, name.removeprefix("/"), container))

        self._database.write(change, durable=False, frees=True)

    def resolve(self, namespace: str, reference: str) -> tuple[str, str]:
        """By id, by name, by the beginning of an id, in this order. Raises NotFound, InvalidArgument (ambiguous)."""
        text = plain(reference)

        def query(connection: Connection) -> tuple[str, str]:
            if _exists(connection, namespace, text):
                return text, _name_of(connection, namespace, text)
            owner = _owner(connection, namespace, text)
            if owner and _exists(connection, namespace, owner):
                return owner, text
            found = _starting(connection, namespace, text) if may_be_id(text) else []
            return choose(reference, [(each, _name_of(connection, namespace, each)) for each in found])

        return self._database.read(query)

    def rename(self, namespace: str, container: str, name: str) -> str:
        """Change row, label and settings at once; return the old name.

        Raises NotFound, AlreadyExists, InvalidArgument.
        """
        new = check_name(name)

        def change(connection: Connection) -> str:
            query = "SELECT labels, extensions FROM containers WHERE namespace = ? AND id = ?"
            row = connection.execute(query, (namespace, container)).fetchone()
            if row is None:
                raise NotFound("container", container)
            old = _name_of(connection, namespace, container)
            if old == new:
                raise InvalidArgument("Renaming a container with the same name as its current name")
            owner = _owner(connection, namespace, new)
            if owner not in {"", container} and not self._stale(connection, namespace, new, owner):
                raise taken(new, owner, reserved=not _exists(connection, namespace, owner))
            _put(connection, namespace, new, container)
            hit("names.rename.row")
            labels = to_text({**from_text(row[0]), NAME_LABEL: new})
            update = "UPDATE containers SET labels = ?, extensions = ?, updated_at = ? WHERE namespace = ? AND id = ?"
            values = (labels, _renamed(row[1], new), to_micros(now()), namespace, container)
            connection.execute(update, values)
            known = "UPDATE sandboxes SET name = ? WHERE namespace = ? AND container = ?"
            connection.execute(known, (new, namespace, container))
            message = Renamed(container_id=container, old=old, new=new)
            self._database.after_commit(lambda: self._publish(namespace, "/names/rename", message))
            return old

        return self._database.write(change)

    def list(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[Name]:
        """All names of a namespace, or those of some containers, by name."""
        query = (
            "SELECT n.name, n.container, n.reserved_at, c.id IS NOT NULL FROM names n LEFT JOIN containers c"
            " ON c.namespace = n.namespace AND c.id = n.container WHERE n.namespace = ?"
        )
        if containers:
            query += f" AND n.container IN ({','.join('?' * len(containers))})"
        values = (namespace, *containers)
        rows = self._database.read(lambda connection: connection.execute(f"{query} ORDER BY n.name", values).fetchall())
        return [Name(name, container, from_micros(at), bool(bound)) for name, container, at, bound in rows]

    # -- garbage collection (collector.Store) -----------------------------------------------------------------------

    def items(self, connection: Connection) -> Iterator[Item]:
        """Each fresh reservation, as the container that is to come: a root with the snapshots of its id."""
        query = (
            "SELECT n.namespace, n.container, s.snapshotter FROM names n JOIN snapshots s"
            " ON s.namespace = n.namespace AND s.key = n.container WHERE n.reserved_at > ? AND NOT EXISTS"
            " (SELECT 1 FROM containers c WHERE c.namespace = n.namespace AND c.id = n.container)"
        )
        for namespace, container, snapshotter in connection.execute(query, (to_micros(now()) - HELD * _MILLION,)):
            held = [snapshot_node(namespace, snapshotter, container)]
            yield Item(Node(Kind.CONTAINER, namespace, container), {}, held, root=True)

    def remove_collected(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Nothing: a name goes with its container."""

    def sweep(self) -> None:
        """Nothing: a name is a row and no more."""


def _owner(connection: Connection, namespace: str, name: str) -> str:
    query = "SELECT container FROM names WHERE namespace = ? AND name = ?"
    row = connection.execute(query, (namespace, name)).fetchone()
    return "" if row is None else str(row[0])


def _name_of(connection: Connection, namespace: str, container: str) -> str:
    query = "SELECT name FROM names WHERE namespace = ? AND container = ?"
    row = connection.execute(query, (namespace, container)).fetchone()
    return "" if row is None else str(row[0])


def _exists(connection: Connection, namespace: str, container: str) -> bool:
    query = "SELECT 1 FROM containers WHERE namespace = ? AND id = ?"
    return connection.execute(query, (namespace, container)).fetchone() is not None


def _starting(connection: Connection, namespace: str, text: str) -> list[str]:
    query = "SELECT id FROM containers WHERE namespace = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?"
    rows = connection.execute(query, (namespace, text, f"{text}g", _CANDIDATES))  # 'g' comes after the last hex digit
    return [str(row[0]) for row in rows]


def _put(connection: Connection, namespace: str, name: str, container: str) -> None:
    # REPLACE also drops the container's earlier name, and another's reservation that has become stale.
    query = "INSERT OR REPLACE INTO names (namespace, name, container, reserved_at) VALUES (?, ?, ?, ?)"
    connection.execute(query, (namespace, name, container, to_micros(now())))


def _renamed(extensions: str, name: str) -> str:
    """The stored extensions with another name in our settings, where there are any."""
    values = anys_from_text(extensions)
    if EXTENSION not in values:
        return extensions
    kept = values[EXTENSION]
    settings = json.dumps({**json.loads(kept.value), "Name": name}, ensure_ascii=False, separators=(",", ":"))
    return anys_to_text({**values, EXTENSION: AnyValue(kept.type_url, settings.encode())})


def label_of(container: Container) -> str:
    """The name in a container's label; empty for none, and for what is no name (the label is anybody's to write)."""
    name = container.labels.get(NAME_LABEL, "")
    try:
        return check_name(name) if name else ""
    except InvalidArgument:
        return ""
