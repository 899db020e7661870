"""The snapshots table: the queries of `stores.snapshots`, each on a connection inside a transaction.

A row is known by (snapshotter, id); the id names the driver's directory. ``parent`` is a row's id, 0 for none. ``boot``
is empty once the files of a committed row are durable. ``lost`` rows are invisible to `find`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.snapshots import Kind, SnapshotInfo
from pycontainerd.stores.columns import from_micros, from_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.snapshots import Usage

_COLUMNS = "snapshotter, id, namespace, key, parent, kind, labels, size, inodes, created_at, updated_at"


@dataclass(frozen=True, slots=True)
class Row:
    """One row; times in microseconds since the epoch, ``labels`` as JSON text."""

    snapshotter: str
    id: int
    namespace: str
    key: str
    parent: int
    kind: Kind
    labels: str
    size: int
    inodes: int
    created_at: int
    updated_at: int

    def info(self, connection: Connection) -> SnapshotInfo:
        """The record as callers see it."""
        query = "SELECT key FROM snapshots WHERE snapshotter = ? AND id = ?"
        above = connection.execute(query, (self.snapshotter, self.parent)).fetchone() if self.parent else None
        return _info(
            self.key, above[0] if above else "", self.kind.value, self.labels, self.created_at, self.updated_at
        )


def _row(values: tuple[str, int, str, str, int, str, str, int, int, int, int]) -> Row:
    snapshotter, number, namespace, key, parent, kind, labels, size, inodes, created, updated = values
    return Row(snapshotter, number, namespace, key, parent, Kind(kind), labels, size, inodes, created, updated)


def _info(key: str, parent: str, kind: str, labels: str, created: int, updated: int) -> SnapshotInfo:
    return SnapshotInfo(key, parent, Kind(kind), from_micros(created), from_micros(updated), from_text(labels))


def find(connection: Connection, snapshotter: str, namespace: str, key: str) -> Row | None:
    """The visible row of a key, or None."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM snapshots WHERE namespace = ? AND snapshotter = ? AND key = ? AND lost = 0",
        (namespace, snapshotter, key),
    ).fetchone()
    return None if found is None else _row(found)


def all_of(connection: Connection, snapshotter: str, namespace: str, key: str) -> list[Row]:
    """The rows of a key, the visible one and lost ones."""
    query = f"SELECT {_COLUMNS} FROM snapshots WHERE namespace = ? AND snapshotter = ? AND key = ?"
    return [_row(values) for values in connection.execute(query, (namespace, snapshotter, key)).fetchall()]


def infos(connection: Connection, snapshotter: str, namespace: str) -> list[SnapshotInfo]:
    """All visible records of a namespace, by key."""
    rows = connection.execute(
        "SELECT s.key, coalesce(p.key, ''), s.kind, s.labels, s.created_at, s.updated_at FROM snapshots s"
        " LEFT JOIN snapshots p ON p.snapshotter = s.snapshotter AND p.id = s.parent"
        " WHERE s.namespace = ? AND s.snapshotter = ? AND s.lost = 0 ORDER BY s.key",
        (namespace, snapshotter),
    )
    return [_info(*row) for row in rows]


def chain(connection: Connection, snapshotter: str, id: int) -> list[tuple[int, str, int]]:
    """(id, key, lost) from ``id`` down to the bottom, nearest first; empty for id 0. One indexed step a layer."""
    if not id:
        return []
    return connection.execute(
        "WITH RECURSIVE chain (id, key, lost, parent, depth) AS ("
        " SELECT id, key, lost, parent, 0 FROM snapshots WHERE snapshotter = ?1 AND id = ?2"
        " UNION ALL SELECT s.id, s.key, s.lost, s.parent, depth + 1 FROM chain JOIN snapshots s"
        " ON s.snapshotter = ?1 AND s.id = chain.parent"
        ") SELECT id, key, lost FROM chain ORDER BY depth",
        (snapshotter, id),
    ).fetchall()


def graph(connection: Connection, snapshotter: str) -> Iterable[tuple[str, str, str, str]]:
    """(namespace, key, parent key, labels) of every row; a visible row comes after a lost one of the same key."""
    return connection.execute(
        "SELECT s.namespace, s.key, coalesce(p.key, ''), s.labels FROM snapshots s"
        " LEFT JOIN snapshots p ON p.snapshotter = s.snapshotter AND p.id = s.parent"
        " WHERE s.snapshotter = ? ORDER BY s.lost DESC",
        (snapshotter,),
    )


def ids(connection: Connection, snapshotter: str) -> set[int]:
    """The ids that have a row."""
    query = "SELECT id FROM snapshots WHERE snapshotter = ?"
    return {row[0] for row in connection.execute(query, (snapshotter,)).fetchall()}


def insert(connection: Connection, row: tuple[str, int, str, str, int, str, str], at: int) -> None:
    """Add (snapshotter, id, namespace, key, parent, kind, labels)."""
    connection.execute(
        "INSERT INTO snapshots (snapshotter, id, namespace, key, parent, kind, labels, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, at, at),
    )


def set_labels(connection: Connection, row: Row, labels: str, at: int) -> None:
    """Replace the labels."""
    connection.execute(
        "UPDATE snapshots SET labels = ?, updated_at = ? WHERE snapshotter = ? AND id = ?",
        (labels, at, row.snapshotter, row.id),
    )


def seal(
    connection: Connection, row: Row, name: str, usage: Usage, *, parent: int, labels: str, at: int, boot: str
) -> None:
    """Turn an active row into a committed one."""
    connection.execute(
        "UPDATE snapshots SET key = ?, parent = ?, kind = ?, labels = ?, size = ?, inodes = ?, created_at = ?,"
        " updated_at = ?, boot = ? WHERE snapshotter = ? AND id = ?",
        (name, parent, Kind.COMMITTED.value, labels, usage.size, usage.inodes, at, at, boot, row.snapshotter, row.id),
    )


def has_children(connection: Connection, row: Row) -> bool:
    """Whether any row stands on this one."""
    query = "SELECT 1 FROM snapshots WHERE snapshotter = ? AND parent = ? LIMIT 1"
    return connection.execute(query, (row.snapshotter, row.id)).fetchone() is not None


def delete(connection: Connection, row: Row) -> None:
    """Delete the row."""
    connection.execute("DELETE FROM snapshots WHERE snapshotter = ? AND id = ?", (row.snapshotter, row.id))


# -- lost and unsynced rows -----------------------------------------------------------------------------------------


def replace_lost(connection: Connection, row: Row, name: str) -> list[int]:
    """Let ``row`` take the place of lost rows called ``name``: their children stand on it; return the ids let go."""
    query = "SELECT id FROM snapshots WHERE namespace = ? AND snapshotter = ? AND key = ? AND lost = 1"
    found = [int(old) for (old,) in connection.execute(query, (row.namespace, row.snapshotter, name)).fetchall()]
    for old in found:
        move = "UPDATE snapshots SET parent = ? WHERE snapshotter = ? AND parent = ?"
        connection.execute(move, (row.id, row.snapshotter, old))
        connection.execute("DELETE FROM snapshots WHERE snapshotter = ? AND id = ?", (row.snapshotter, old))
    return found


def mark_lost(connection: Connection, snapshotter: str, there: set[int], boot: str) -> list[tuple[str, str, str]]:
    """Compare rows with the directories ``there``; return (namespace, key, why) of what was lost and not known to be.

    Active rows without a directory are deleted, since nothing can restore them. A view needs no directory of its own.
    """
    rows = connection.execute(
        "SELECT id, namespace, key, parent, kind, boot FROM snapshots WHERE snapshotter = ? AND lost = 0 ORDER BY id",
        (snapshotter,),
    ).fetchall()
    already = "SELECT id FROM snapshots WHERE snapshotter = ? AND lost = 1"
    lost = {row[0] for row in connection.execute(already, (snapshotter,)).fetchall()}
    found: list[tuple[str, str, str]] = []
    for number, namespace, key, parent, kind, committed_in in _parents_first(rows):
        committed = kind == Kind.COMMITTED.value
        if number not in there and kind != Kind.VIEW.value:
            why = "its directory is missing"
        elif committed and committed_in not in ("", boot):
            why = "the machine went down before its files were on the disk"
        elif committed and parent in lost:
            why = "a layer below it is lost"
        else:
            continue
        found.append((namespace, key, why))
        if committed:
            lost.add(number)
            connection.execute("UPDATE snapshots SET lost = 1 WHERE snapshotter = ? AND id = ?", (snapshotter, number))
        else:
            connection.execute("DELETE FROM snapshots WHERE snapshotter = ? AND id = ?", (snapshotter, number))
    return found


def _parents_first(rows: Sequence[tuple[int, str, str, int, str, str]]) -> list[tuple[int, str, str, int, str, str]]:
    """The rows in an order in which a parent comes before what stands on it; ids alone do not say (rebase)."""
    by_parent: dict[int, list[tuple[int, str, str, int, str, str]]] = {}
    known = {row[0] for row in rows}
    for row in rows:
        by_parent.setdefault(row[3] if row[3] in known else 0, []).append(row)
    ordered: list[tuple[int, str, str, int, str, str]] = []
    level = by_parent.get(0, [])
    while level:
        ordered += level
        level = [child for row in level for child in by_parent.get(row[0], [])]
    return ordered


def unsynced(connection: Connection, snapshotter: str) -> list[int]:
    """Ids of committed rows whose files may not be on the disk yet."""
    query = "SELECT id FROM snapshots WHERE snapshotter = ? AND boot != '' AND lost = 0"
    return [row[0] for row in connection.execute(query, (snapshotter,)).fetchall()]


def set_synced(connection: Connection, snapshotter: str, ids: Sequence[int]) -> None:
    """Note that the files of these rows are on the disk."""
    query = "UPDATE snapshots SET boot = '' WHERE snapshotter = ? AND id = ?"
    connection.executemany(query, [(snapshotter, number) for number in ids])
