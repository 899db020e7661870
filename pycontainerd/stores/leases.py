"""Leases and what they hold; the functions on a connection are for the stores whose writes happen under a lease."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.gc import Item, Kind, Node
from pycontainerd.core.identifiers import stored_labels
from pycontainerd.core.leases import Lease, LeaseResource, adaptor, validate_resource
from pycontainerd.stores import namespaces
from pycontainerd.stores.columns import from_micros, from_text, labels_for_gc, now, to_micros, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from pycontainerd.stores.database import Database

_KINDS = frozenset(Kind)


def require(connection: Connection, namespace: str, lease: str) -> None:
    """Raise NotFound unless the lease exists; an empty id means that there is none to check."""
    if not lease:
        return
    query = "SELECT 1 FROM leases WHERE namespace = ? AND id = ?"
    if connection.execute(query, (namespace, lease)).fetchone() is None:
        raise NotFound("lease", lease)


def hold(connection: Connection, namespace: str, lease: str, type: str, id: str) -> None:
    """Add a resource to the lease; nothing to do for an empty lease id. Raises NotFound (lease)."""
    if not lease:
        return
    require(connection, namespace, lease)
    connection.execute("INSERT OR IGNORE INTO lease_resources VALUES (?, ?, ?, ?)", (namespace, lease, type, id))


def move(connection: Connection, namespace: str, old: tuple[str, str], new: tuple[str, str]) -> None:
    """Let every lease that holds ``old`` (type, id) hold ``new`` instead: what a commit does to its key."""
    connection.execute(
        "INSERT OR IGNORE INTO lease_resources SELECT namespace, lease, ?, ? FROM lease_resources"
        " WHERE namespace = ? AND type = ? AND id = ?",
        (*new, namespace, *old),
    )
    drop(connection, namespace, *old)


def drop(connection: Connection, namespace: str, type: str, id: str) -> None:
    """Forget a resource that no longer exists in every lease of the namespace."""
    connection.execute("DELETE FROM lease_resources WHERE namespace = ? AND type = ? AND id = ?", (namespace, type, id))


class Leases:
    """``core.leases.LeaseStore`` on the database; ``collect`` runs a garbage collection and waits for it."""

    def __init__(self, database: Database, collect: Callable[[], object] | None = None) -> None:
        self._database = database
        self.collect = collect

    def create(self, namespace: str, id: str = "", labels: Mapping[str, str] | None = None) -> Lease:
        """Make a lease, with a random id when none is given. Raises AlreadyExists, InvalidArgument."""
        name = id or secrets.token_hex(8)
        kept, created = stored_labels(labels or {}), now()

        def change(connection: Connection) -> None:
            namespaces.ensure(connection, namespace)
            query = "SELECT 1 FROM leases WHERE namespace = ? AND id = ?"
            if connection.execute(query, (namespace, name)).fetchone() is not None:
                raise AlreadyExists("lease", name)
            connection.execute(
                "INSERT INTO leases VALUES (?, ?, ?, ?)", (namespace, name, to_text(kept), to_micros(created))
            )

        self._database.write(change)
        return Lease(name, created, kept)

    def delete(self, namespace: str, id: str, *, sync: bool = False) -> None:
        """Drop the lease; what only it held goes at the next collection, for which ``sync`` waits. Raises NotFound."""

        def change(connection: Connection) -> None:
            require_named(connection, namespace, id)
            remove_rows(connection, namespace, id)

        self._database.write(change, frees=True)
        if sync and self.collect is not None:
            self.collect()

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Lease]:
        """The leases that pass the filters (fields ``id`` and ``labels``), by id."""
        matches = compile_filters(filters)
        rows = self._database.read(
            lambda connection: connection.execute(
                "SELECT id, created_at, labels FROM leases WHERE namespace = ? ORDER BY id", (namespace,)
            ).fetchall()
        )
        found = [Lease(name, from_micros(created), from_text(labels)) for name, created, labels in rows]
        return [lease for lease in found if matches(adaptor(lease))]

    def add_resource(self, namespace: str, id: str, resource: LeaseResource) -> None:
        """Raises NotFound (lease), Unimplemented (type), InvalidArgument (id)."""

        def change(connection: Connection) -> None:
            require_named(connection, namespace, id)
            validate_resource(resource)
            hold(connection, namespace, id, resource.type, resource.id)

        self._database.write(change)

    def delete_resource(self, namespace: str, id: str, resource: LeaseResource) -> None:
        """Let go of a resource, held or not. Raises NotFound (lease), Unimplemented (type), InvalidArgument (id)."""

        def change(connection: Connection) -> None:
            require_named(connection, namespace, id)
            validate_resource(resource)
            connection.execute(
                "DELETE FROM lease_resources WHERE namespace = ? AND lease = ? AND type = ? AND id = ?",
                (namespace, id, resource.type, resource.id),
            )

        self._database.write(change, frees=True)

    def list_resources(self, namespace: str, id: str) -> Sequence[LeaseResource]:
        """What the lease holds. Raises NotFound."""

        def query(connection: Connection) -> list[tuple[str, str]]:
            require_named(connection, namespace, id)
            return connection.execute(
                "SELECT type, id FROM lease_resources WHERE namespace = ? AND lease = ? ORDER BY type, id",
                (namespace, id),
            ).fetchall()

        return [LeaseResource(*row) for row in self._database.read(query)]

    # -- garbage collection -----------------------------------------------------------------------------------------

    def items(self, connection: Connection) -> Iterator[Item]:
        """Every lease with what it holds."""
        held: dict[tuple[str, str], list[Node]] = {}
        query = "SELECT namespace, lease, type, id FROM lease_resources"
        for namespace, lease, kind, key in connection.execute(query):
            node = resource_node(namespace, kind, key)
            if node is not None:
                held.setdefault((namespace, lease), []).append(node)
        for namespace, lease, labels in connection.execute("SELECT namespace, id, labels FROM leases"):
            yield Item(Node(Kind.LEASE, namespace, lease), labels_for_gc(labels), held.get((namespace, lease), ()))

    def remove_collected(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Delete expired leases, in the transaction of the collector."""
        for node in nodes:
            if node.kind is Kind.LEASE:
                remove_rows(connection, node.namespace, node.key)

    def sweep(self) -> None:
        """Nothing: a lease is rows and no more."""


def resource_node(namespace: str, type: str, id: str) -> Node | None:
    """The node of a leased resource, None for an unknown type; ``snapshots/<snapshotter>`` names it in the key."""
    kind, _, rest = type.partition("/")
    return None if kind not in _KINDS else Node(Kind(kind), namespace, f"{rest}/{id}" if rest else id)


def require_named(connection: Connection, namespace: str, id: str) -> None:
    """Raise InvalidArgument for an empty id, NotFound for an unknown lease."""
    if not id:
        raise InvalidArgument("lease id must not be empty")
    require(connection, namespace, id)


def remove_rows(connection: Connection, namespace: str, id: str) -> None:
    """Delete a lease and what it holds."""
    connection.execute("DELETE FROM lease_resources WHERE namespace = ? AND lease = ?", (namespace, id))
    connection.execute("DELETE FROM leases WHERE namespace = ? AND id = ?", (namespace, id))
