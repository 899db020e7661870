"""The mount manager: activations as rows, their mount points in one directory each below ``targets``.

Mounts are made before the row and taken off after it, so a crash leaves at most a directory without a row, which
`sweep` clears. A row whose mounts are gone (after a reboot) is dropped when the store opens.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable, Unimplemented
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.gc import Item, Kind, Node
from pycontainerd.core.identifiers import masked_labels, stored_labels
from pycontainerd.core.mounts import Activation, ActiveMount, adaptor, plan
from pycontainerd.core.values import Mount
from pycontainerd.stores import leases, mountpoints, namespaces
from pycontainerd.stores.columns import from_micros, from_text, now, to_micros, to_text
from pycontainerd.stores.disk import disk_error
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.mounts import Plan
    from pycontainerd.stores.database import Database

_log = structlog.get_logger(__name__)

RESOURCE = "mounts"
"""The resource type by which a lease holds an activation."""
_COLUMNS = "name, active, system, labels"


class Mounts:
    """core.mounts.MountManager. ``roots`` are the directories below which `mkfs/` and `mkdir/` may make things."""

    def __init__(self, database: Database, targets: str, roots: Sequence[str] = ()) -> None:
        self._database, self._targets = database, targets
        self._roots = (targets, *roots)
        self._lock = threading.Lock()
        self._busy: set[tuple[str, str]] = set()
        self._numbers: set[int] = set()
        self._undoing = threading.Lock()
        os.makedirs(targets, mode=0o700, exist_ok=True)
        self._last = self._open()

    def activate(
        self,
        namespace: str,
        name: str,
        mounts: Sequence[Mount],
        labels: Mapping[str, str] | None = None,
        *,
        temporary: bool = False,
        lease: str = "",
        allow_transforms: Sequence[str] = (),
        allow_types: Sequence[str] = (),
    ) -> Activation:
        """Make the mounts that need the manager; ``temporary`` makes all, and leaves a bind mount of the last to make.

        ``allow_transforms`` and ``allow_types`` are what the caller does by itself. Raises Unimplemented when all
        mounts are plain, AlreadyExists, InvalidArgument (template, option, label), NotFound (lease).
        """
        if not name:
            raise InvalidArgument("activation name must not be empty")
        kept = stored_labels(labels or {})
        todo = plan(
            mounts, mountpoints.HANDLED, temporary=temporary,
            allow_transforms=allow_transforms, allow_types=allow_types,
        )  # fmt: skip
        if todo is None:
            raise Unimplemented("activation", name, "all its mounts are plain: mount them yourself")
        number = self._take(namespace, name)
        try:
            self._database.read(lambda connection: self._creatable(connection, namespace, name, lease))
            return self._perform(namespace, name, todo, kept, number, lease=lease, temporary=temporary)
        finally:
            self._release(namespace, name, number)

    def deactivate(self, namespace: str, name: str) -> None:
        """Take the mounts off, last first. Raises NotFound, Unknown when one cannot be taken off."""
        number = self._take(namespace, name)  # keeps others from the name meanwhile
        try:
            removed = self._database.write(lambda connection: self._delete(connection, namespace, name), durable=False)
            hit("mounts.deactivate.row")
            try:
                with self._undoing:
                    mountpoints.undo(self._directory(removed))
            except OSError as error:
                raise disk_error(error, "activation", name) from error
        finally:
            self._release(namespace, name, number)

    def info(self, namespace: str, name: str) -> Activation:
        """Raises NotFound."""
        return self._database.read(lambda connection: self._row(connection, namespace, name))

    def update(self, namespace: str, activation: Activation, paths: Sequence[str] = ()) -> Activation:
        """Replace the labels, or those that ``paths`` name; nothing else can change. Raises NotFound."""
        for path in paths:
            if path != "labels" and not path.startswith("labels."):
                raise InvalidArgument("update mask path", path, "only labels and labels.<key> of a mount can change")

        def change(connection: Connection) -> Activation:
            old = self._row(connection, namespace, activation.name)
            new = masked_labels(old.labels, activation.labels, paths) if paths else stored_labels(activation.labels)
            connection.execute(
                "UPDATE mounts SET labels = ?, updated_at = ? WHERE namespace = ? AND name = ?",
                (to_text(new), to_micros(now()), namespace, activation.name),
            )
            return self._row(connection, namespace, activation.name)

        return self._database.write(change, durable=False)

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Iterator[Activation]:
        """The activations that pass the filters, by name. Raises InvalidArgument for a filter that does not parse."""
        matches = compile_filters(filters)
        query = f"SELECT {_COLUMNS} FROM mounts WHERE namespace = ? ORDER BY name"
        rows = self._database.read(lambda connection: connection.execute(query, (namespace,)).fetchall())
        return (found for found in map(_activation, rows) if matches(adaptor(found)))

    # -- a collection's part: `stores.collector.Store` --------------------------------------------------------------

    def items(self, connection: Connection) -> Iterable[Item]:
        """Every activation; a lease or a `gc.bref` label is what keeps one."""
        for namespace, name, labels in connection.execute("SELECT namespace, name, labels FROM mounts"):
            yield Item(Node(Kind.MOUNT, namespace, name), from_text(labels))

    def remove_collected(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Delete the rows of collected activations; `sweep` takes the mounts off."""
        for node in nodes:
            if node.kind is Kind.MOUNT:
                try:
                    self._delete(connection, node.namespace, node.key)
                except NotFound:
                    continue

    def sweep(self) -> None:
        """Take off what has no row; failures are logged and tried again next time."""
        there = self._there()
        with self._lock:  # after the listing: what is busy now has its row before it stops being so
            there -= self._numbers
        query = "SELECT number FROM mounts"
        there -= {row[0] for row in self._database.read(lambda connection: connection.execute(query).fetchall())}
        for orphan in sorted(there):
            self._undo(orphan)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _open(self) -> int:
        """Drop the rows whose mounts are gone, clear what has no row; return the highest number in use."""

        def standing(connection: Connection) -> list[tuple[str, str, int, bool]]:
            rows = connection.execute("SELECT namespace, name, number, active FROM mounts").fetchall()
            return [(space, name, number, all(map(mountpoints.stands, _active(text))))
                    for space, name, number, text in rows]  # fmt: skip

        rows = self._database.read(standing)
        gone = [(namespace, name) for namespace, name, _, stands in rows if not stands]
        if gone:
            self._database.write(lambda connection: [self._delete(connection, *key) for key in gone], durable=False)
            _log.info("activations whose mounts are gone were dropped", names=[name for _, name in gone])
        last = max((*self._there(), *(number for _, _, number, _ in rows)), default=0)
        self.sweep()
        return last

    def _perform(
        self,
        namespace: str,
        name: str,
        todo: Plan,
        labels: Mapping[str, str],
        number: int,
        *,
        lease: str,
        temporary: bool,
    ) -> Activation:
        try:
            made = self._make(todo, number, name, temporary=temporary)
            result = Activation(name, made.active, made.system, labels)
            self._database.write(
                lambda connection: self._insert(connection, namespace, result, number, lease), durable=False
            )
        except BaseException as error:
            self._undo(number)
            if isinstance(error, OSError):
                raise disk_error(error, "activation", name) from error
            raise
        return result

    def _make(self, todo: Plan, number: int, name: str, *, temporary: bool) -> Activation:
        directory = self._directory(number)
        os.mkdir(directory, 0o700)
        active: list[ActiveMount] = []
        for index, step in enumerate(todo.managed):
            mount = mountpoints.transform(step, active, self._roots)
            active.append(mountpoints.perform(mount, os.path.join(directory, str(index))))
            hit("mounts.activate.mounted")
        system = [mountpoints.transform(step, active, self._roots) for step in todo.system]
        if temporary and active:
            system.append(Mount("bind", active[-1].mount_point, options=("rbind",)))
        return Activation(name, tuple(active), tuple(system))

    def _creatable(self, connection: Connection, namespace: str, name: str, lease: str) -> None:
        query = "SELECT 1 FROM mounts WHERE namespace = ? AND name = ?"
        if connection.execute(query, (namespace, name)).fetchone() is not None:
            raise AlreadyExists("mount", name)
        leases.require(connection, namespace, lease)

    def _insert(self, connection: Connection, namespace: str, made: Activation, number: int, lease: str) -> None:
        self._creatable(connection, namespace, made.name, lease)
        namespaces.ensure(connection, namespace)
        at = to_micros(now())
        connection.execute(
            f"INSERT INTO mounts (namespace, number, {_COLUMNS}, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (namespace, number, made.name, _active_text(made.active), json.dumps([_fields(m) for m in made.system]),
             to_text(made.labels), at, at),
        )  # fmt: skip
        leases.hold(connection, namespace, lease, RESOURCE, made.name)

    def _delete(self, connection: Connection, namespace: str, name: str) -> int:
        """Delete a row and return its number. Raises NotFound."""
        found = connection.execute(
            "DELETE FROM mounts WHERE namespace = ? AND name = ? RETURNING number", (namespace, name)
        ).fetchone()
        if found is None:
            raise NotFound("mount", name)
        leases.drop(connection, namespace, RESOURCE, name)
        return int(found[0])

    def _row(self, connection: Connection, namespace: str, name: str) -> Activation:
        query = f"SELECT {_COLUMNS} FROM mounts WHERE namespace = ? AND name = ?"
        row = connection.execute(query, (namespace, name)).fetchone()
        if row is None:
            raise NotFound("mount", name)
        return _activation(row)

    def _take(self, namespace: str, name: str) -> int:
        """Reserve a name against others, and a new number."""
        with self._lock:
            if (namespace, name) in self._busy:
                raise Unavailable("mount", name, "another request is working on it")
            self._busy.add((namespace, name))
            self._last += 1
            self._numbers.add(self._last)
            return self._last

    def _release(self, namespace: str, name: str, number: int) -> None:
        with self._lock:
            self._busy.discard((namespace, name))
            self._numbers.discard(number)

    def _undo(self, number: int) -> None:
        try:
            with self._undoing:
                mountpoints.undo(self._directory(number))
        except OSError as error:
            _log.warning("mounts stay for the next sweep", directory=self._directory(number), error=str(error))

    def _directory(self, number: int) -> str:
        return os.path.join(self._targets, str(number))

    def _there(self) -> set[int]:
        return {int(name) for name in os.listdir(self._targets) if name.isascii() and name.isdigit()}


def _fields(mount: Mount) -> list[object]:
    return [mount.type, mount.source, mount.target, list(mount.options)]


def _mount(fields: Sequence[object]) -> Mount:
    kind, source, target, options = fields
    return Mount(str(kind), str(source), str(target), tuple(options))  # type: ignore[arg-type]


def _active_text(active: Sequence[ActiveMount]) -> str:
    return json.dumps(
        [
            {
                "mount": _fields(entry.mount),
                "point": entry.mount_point,
                "at": to_micros(entry.mounted_at) if entry.mounted_at else 0,
                "data": dict(entry.data),
            }
            for entry in active
        ]
    )


def _active(text: str) -> tuple[ActiveMount, ...]:
    return tuple(
        ActiveMount(_mount(entry["mount"]), entry["point"], from_micros(entry["at"]), entry["data"])
        for entry in json.loads(text)
    )


def _activation(row: Sequence[str]) -> Activation:
    name, active, system, labels = row
    return Activation(name, _active(active), tuple(map(_mount, json.loads(system))), from_text(labels))
