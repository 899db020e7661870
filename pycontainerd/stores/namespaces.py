"""Namespaces: rows that the first write makes, with labels that hold defaults and policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from pycontainerd.core.events import discard
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.identifiers import masked_labels, stored_labels, validate_identifier
from pycontainerd.core.namespaces import Namespace, adaptor
from pycontainerd.stores.columns import from_text, to_text
from pycontainerd.wire.messages.events_namespace import NamespaceCreate, NamespaceDelete, NamespaceUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from pycontainerd.core.events import Publish
    from pycontainerd.stores.database import Database

_HOLDS = (
    ("images", "images"),
    ("blobs", "content"),
    ("containers", "containers"),
    ("snapshots", "snapshots"),
    ("volumes", "volumes"),
    ("networks", "networks"),
)
"""What keeps a namespace from being deleted: the word for it, and its table."""
_ASIDE = {"content": " AND NOT lost", "snapshots": " AND NOT lost", "networks": " AND name != 'bridge'"}
"""Rows that keep nothing: lost ones, and the default network, which nobody made."""
_GOES_ALONG = ("leases", "lease_resources", "ingests")
"""Tables whose rows vanish with their namespace."""


def ensure(connection: Connection, namespace: str) -> None:
    """Make the namespace's row unless it is there: every store calls this in the transaction of its first write."""
    connection.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (namespace,))


class Namespaces:
    """``core.namespaces.NamespaceStore`` on the database."""

    def __init__(self, database: Database, publish: Publish = discard) -> None:
        self._database, self._publish = database, publish

    def get(self, name: str) -> Namespace:
        """The namespace; an unknown name answers as an empty one. Raises InvalidArgument."""
        validate_identifier(name, "namespace")
        labels = self._database.read(lambda connection: _labels(connection, name))
        return Namespace(name, labels or {})

    def list(self, filter: str = "") -> Sequence[Namespace]:
        """All namespaces that pass the filter (fields ``name`` and ``labels``), by name."""
        matches = compile_filters([filter] if filter else [])
        rows = self._database.read(
            lambda connection: connection.execute("SELECT name, labels FROM namespaces ORDER BY name").fetchall()
        )
        found = [Namespace(name, from_text(labels)) for name, labels in rows]
        return [namespace for namespace in found if matches(adaptor(namespace))]

    def create(self, namespace: Namespace) -> Namespace:
        """Raises AlreadyExists, InvalidArgument."""
        name = validate_identifier(namespace.name, "namespace")
        labels = stored_labels(namespace.labels)

        def change(connection: Connection) -> None:
            if _labels(connection, name) is not None:
                raise AlreadyExists("namespace", name)
            connection.execute("INSERT INTO namespaces (name, labels) VALUES (?, ?)", (name, to_text(labels)))
            self._tell(name, "/namespaces/create", NamespaceCreate(name=name, labels=labels))

        self._database.write(change)
        return Namespace(name, labels)

    def update(self, namespace: Namespace, paths: Sequence[str] = ()) -> Namespace:
        """Set labels by ``labels.<key>`` paths, or all of them with no path; makes a namespace that is missing."""
        name = validate_identifier(namespace.name, "namespace")
        for path in paths:
            if not path.startswith("labels."):
                raise InvalidArgument("update mask path", path, "only labels.<key> can be updated")

        def change(connection: Connection) -> dict[str, str]:
            old = _labels(connection, name) or {}
            labels = masked_labels(old, namespace.labels, paths) if paths else stored_labels(namespace.labels)
            connection.execute(
                "INSERT INTO namespaces (name, labels) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET labels = excluded.labels",
                (name, to_text(labels)),
            )
            self._tell(name, "/namespaces/update", NamespaceUpdate(name=name, labels=labels))
            return labels

        return Namespace(name, self._database.write(change))

    def delete(self, name: str) -> None:
        """Raises NotFound, FailedPrecondition naming what is still in it; leases and ingests go with it."""

        def change(connection: Connection) -> None:
            if _labels(connection, name) is None:
                raise NotFound("namespace", name)
            held = [word for word, table in _HOLDS if _occupied(connection, table, name)]
            if held:
                raise FailedPrecondition("namespace", name, f"still holds {', '.join(held)}: delete these first")
            for table in _GOES_ALONG:
                connection.execute(f"DELETE FROM {table} WHERE namespace = ?", (name,))
            connection.execute("DELETE FROM namespaces WHERE name = ?", (name,))
            self._tell(name, "/namespaces/delete", NamespaceDelete(name=name))

        self._database.write(change, frees=True)

    def _tell(self, name: str, topic: str, message: NamespaceCreate | NamespaceUpdate | NamespaceDelete) -> None:
        self._database.after_commit(lambda: self._publish(name, topic, message))


def label(connection: Connection, namespace: str, key: str) -> str:
    """One label of a namespace, or empty."""
    return (_labels(connection, namespace) or {}).get(key, "")


def _labels(connection: Connection, name: str) -> dict[str, str] | None:
    row = connection.execute("SELECT labels FROM namespaces WHERE name = ?", (name,)).fetchone()
    return None if row is None else from_text(row[0])


def _occupied(connection: Connection, table: str, namespace: str) -> bool:
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).fetchone()
    if known is None:
        return False
    condition = _ASIDE.get(table, "")
    found = connection.execute(f"SELECT 1 FROM {table} WHERE namespace = ?{condition} LIMIT 1", (namespace,))
    return found.fetchone() is not None
