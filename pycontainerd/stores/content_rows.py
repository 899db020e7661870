"""The rows of the content store: queries and changes on a connection, nothing about files."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pycontainerd.core.content import ContentInfo
from pycontainerd.core.gc import Item, Kind, Node
from pycontainerd.stores import leases, namespaces
from pycontainerd.stores.columns import from_micros, from_text, labels_for_gc, to_micros, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from sqlite3 import Connection

INGEST_LIFETIME = timedelta(hours=24)
"""How long an ingest that no lease holds is kept after its start."""
SHAREABLE = "containerd.io/namespace.shareable"
"""Namespace label ``true``: its blobs may be shared under the isolated policy too."""


def info(connection: Connection, namespace: str, digest: str) -> ContentInfo | None:
    """What the namespace knows of a blob; None when it does not see it."""
    row = connection.execute(
        "SELECT digest, size, created_at, updated_at, labels FROM content"
        " WHERE namespace = ? AND digest = ? AND NOT lost",
        (namespace, digest),
    ).fetchone()
    return None if row is None else _info(*row)


def page(connection: Connection, namespace: str, after: str, limit: int) -> list[ContentInfo]:
    """The next infos by digest."""
    found = connection.execute(
        "SELECT digest, size, created_at, updated_at, labels FROM content"
        " WHERE namespace = ? AND digest > ? AND NOT lost ORDER BY digest LIMIT ?",
        (namespace, after, limit),
    )
    return [_info(*row) for row in found]


def _info(digest: str, size: int, created: int, updated: int, labels: str) -> ContentInfo:
    return ContentInfo(digest, size, from_micros(created), from_micros(updated), from_text(labels))


def shared_size(connection: Connection, namespace: str, digest: str, *, isolated: bool) -> int | None:
    """The size of a blob that another namespace holds and may share, or None."""
    query = "SELECT namespace, size FROM content WHERE digest = ? AND namespace <> ? AND NOT lost"
    for owner, size in connection.execute(query, (digest, namespace)).fetchall():
        if not isolated or namespaces.label(connection, owner, SHAREABLE) == "true":
            return int(size)
    return None


def held(connection: Connection, digest: str) -> bool:
    """Whether any namespace has the blob."""
    query = "SELECT 1 FROM content WHERE digest = ? AND NOT lost LIMIT 1"
    return connection.execute(query, (digest,)).fetchone() is not None


def insert(connection: Connection, namespace: str, added: ContentInfo, at: datetime) -> None:
    """Add a blob whose file is there; a lost row of the same digest gives way, those of other namespaces are back."""
    connection.execute(
        "INSERT OR REPLACE INTO content (namespace, digest, size, labels, created_at, updated_at, lost)"
        " VALUES (?, ?, ?, ?, ?, ?, 0)",
        (namespace, added.digest, added.size, to_text(added.labels), to_micros(at), to_micros(at)),
    )
    mark_lost(connection, added.digest, lost=False)


def set_labels(connection: Connection, namespace: str, digest: str, labels: Mapping[str, str], at: datetime) -> None:
    """Replace the labels of a blob."""
    connection.execute(
        "UPDATE content SET labels = ?, updated_at = ? WHERE namespace = ? AND digest = ?",
        (to_text(labels), to_micros(at), namespace, digest),
    )


def delete(connection: Connection, namespace: str, digest: str) -> None:
    """Drop a blob from the namespace."""
    connection.execute("DELETE FROM content WHERE namespace = ? AND digest = ?", (namespace, digest))


def mark_lost(connection: Connection, digest: str, *, lost: bool = True) -> None:
    """Hide a blob whose file is gone in every namespace, or show it again."""
    connection.execute("UPDATE content SET lost = ? WHERE digest = ?", (lost, digest))


def sizes(connection: Connection) -> dict[str, int]:
    """Every digest that any namespace has, lost or not, with its size."""
    return dict(connection.execute("SELECT digest, max(size) FROM content GROUP BY digest").fetchall())


def lost(connection: Connection) -> set[str]:
    """The digests that are lost."""
    return {str(row[0]) for row in connection.execute("SELECT DISTINCT digest FROM content WHERE lost")}


# -- ingests --------------------------------------------------------------------------------------------------------


def ingest(connection: Connection, namespace: str, ref: str) -> tuple[int, int, datetime] | None:
    """(sequence, total, started at) of an ingest, or None."""
    row = connection.execute(
        "SELECT sequence, total, started_at FROM ingests WHERE namespace = ? AND ref = ?", (namespace, ref)
    ).fetchone()
    return None if row is None else (int(row[0]), int(row[1]), from_micros(row[2]))


def open_ingest(connection: Connection, namespace: str, ref: str, expected: str, total: int, at: datetime) -> None:
    """Make an ingest's row, or renew its declarations; what is not declared stays."""
    connection.execute(
        "INSERT INTO ingests (namespace, ref, expected, total, started_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (namespace, ref) DO UPDATE SET updated_at = excluded.updated_at,"
        " expected = iif(excluded.expected = '', expected, excluded.expected),"
        " total = iif(excluded.total = 0, total, excluded.total)",
        (namespace, ref, expected, total, to_micros(at), to_micros(at)),
    )


def end_ingest(connection: Connection, namespace: str, ref: str) -> None:
    """Drop an ingest and let leases forget it."""
    connection.execute("DELETE FROM ingests WHERE namespace = ? AND ref = ?", (namespace, ref))
    leases.drop(connection, namespace, Kind.INGEST, ref)


def ingests(connection: Connection, namespace: str = "") -> list[tuple[str, str, int, int, datetime]]:
    """(namespace, ref, sequence, total, started at) of the ingests of one namespace, or of all."""
    query = "SELECT namespace, ref, sequence, total, started_at FROM ingests"
    found = (
        connection.execute(f"{query} WHERE namespace = ? ORDER BY ref", (namespace,))
        if namespace
        else connection.execute(query)
    )
    return [(row[0], row[1], int(row[2]), int(row[3]), from_micros(row[4])) for row in found]


# -- garbage collection ---------------------------------------------------------------------------------------------


def items(connection: Connection, busy: Iterable[tuple[str, str]]) -> Iterator[Item]:
    """Every blob and ingest; ``busy`` are the (namespace, ref) pairs being written, which are roots."""
    for namespace, digest, labels in connection.execute("SELECT namespace, digest, labels FROM content"):
        yield Item(Node(Kind.CONTENT, namespace, digest), labels_for_gc(labels))
    writing = set(busy)
    query = "SELECT namespace, ref, expected, started_at FROM ingests"
    for namespace, ref, expected, started in connection.execute(query):
        yield Item(
            Node(Kind.INGEST, namespace, ref),
            references=[Node(Kind.CONTENT, namespace, expected)] if expected else (),
            root=(namespace, ref) in writing,
            until=from_micros(started) + INGEST_LIFETIME,
        )
