"""The records of snapshots: names, kinds, parents and labels in rows; the bytes are a driver's business.

**Order of things.** A directory is made before its row and removed after it, so a crash leaves at most a directory
without a row, which `sweep` deletes. Nothing touches the disk inside a transaction.

**Power cuts.** A layer's files reach the disk some time after they were written. A committed row therefore names the
boot it was committed in until a background sync has made its files durable; after a reboot such a row is not trusted.
Rows that are not trusted, or whose directory is gone, and the committed ones above them are *lost*: invisible, so that
a client unpacks the layer again, and replaced when one of the same name is committed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
    Unknown,
)
from pycontainerd.core.events import discard
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.gc import Item, snapshot_node
from pycontainerd.core.gc import Kind as NodeKind
from pycontainerd.core.identifiers import masked_labels, stored_labels
from pycontainerd.core.snapshots import MAX_SIZE, REBASE, REF_LABEL, Kind, SnapshotInfo, Usage, adaptor
from pycontainerd.core.spans import no_span
from pycontainerd.stores import leases, namespaces, snapshotrows
from pycontainerd.stores.columns import from_text, now, to_micros, to_text
from pycontainerd.stores.disk import disk_error
from pycontainerd.stores.syncer import Syncer
from pycontainerd.wire.failpoint import hit
from pycontainerd.wire.messages.events_snapshot import SnapshotCommit, SnapshotPrepare, SnapshotRemove

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.events import EventMessage, Publish
    from pycontainerd.core.gc import Node
    from pycontainerd.core.snapshots import SnapshotDriver
    from pycontainerd.core.spans import Span
    from pycontainerd.core.values import Mount
    from pycontainerd.stores.database import Database
    from pycontainerd.stores.snapshotrows import Row

_log = structlog.get_logger(__name__)


class Snapshots:
    """core.snapshots.Snapshotter: the snapshots of one driver in all namespaces, and its part in collections.

    ``boot`` identifies the running kernel. Opening compares rows with directories and never fails over what it finds.
    """

    def __init__(
        self,
        database: Database,
        driver: SnapshotDriver,
        publish: Publish = discard,
        *,
        boot: str = "",
        span: Span = no_span,
    ) -> None:
        self.name = driver.name
        self.driver = driver
        self._database, self._publish, self._span = database, publish, span
        self._boot = boot or _boot_id()
        self._lock = threading.Lock()
        self._busy: set[int] = set()
        self._syncer = Syncer(f"{self.name}-tidy", self._tidy)
        self._unswept = False
        self._last = self._open()

    # -- the Snapshotter protocol -----------------------------------------------------------------------------------

    def stat(self, namespace: str, key: str) -> SnapshotInfo:
        """The record. Raises NotFound."""
        return self._database.read(lambda connection: self._row(connection, namespace, key).info(connection))

    def update(self, namespace: str, info: SnapshotInfo, paths: Sequence[str] = ()) -> SnapshotInfo:
        """Replace the labels, or those that ``paths`` name. Raises InvalidArgument, NotFound."""
        if not info.name:
            raise InvalidArgument("snapshot name must not be empty")
        for path in paths:
            if path != "labels" and not path.startswith("labels."):
                raise InvalidArgument("update mask path", path, "only labels and labels.<key> of a snapshot can change")

        def change(connection: Connection) -> SnapshotInfo:
            row = self._row(connection, namespace, info.name)
            old = from_text(row.labels)
            labels = masked_labels(old, info.labels, paths) if paths else stored_labels(info.labels)
            if labels.get(MAX_SIZE, "") not in {"", old.get(MAX_SIZE, "")}:
                raise InvalidArgument("label", MAX_SIZE, "the bound of a snapshot is set when it is prepared")
            snapshotrows.set_labels(connection, row, to_text(labels), to_micros(now()))
            return self._row(connection, namespace, info.name).info(connection)

        return self._database.write(change, durable=False)

    def usage(self, namespace: str, key: str) -> Usage:
        """Disk use without parents; measured now unless committed. Raises NotFound."""
        row = self._database.read(lambda connection: self._row(connection, namespace, key))
        if row.kind is Kind.COMMITTED:
            return Usage(row.size, row.inodes)
        try:
            return self.driver.usage(str(row.id))
        except OSError as error:
            raise disk_error(error, "snapshot", key) from error

    def mounts(self, namespace: str, key: str) -> list[Mount]:
        """How to mount an active snapshot or a view. Raises NotFound, FailedPrecondition, DataLoss."""

        def query(connection: Connection) -> tuple[Row, list[str]]:
            row = self._row(connection, namespace, key)
            return row, self._chain(connection, row.parent)

        row, parents = self._database.read(query)
        if row.kind is Kind.COMMITTED:
            raise FailedPrecondition("snapshot", key, "it is committed: prepare a new one on it, or view it")
        return self.driver.mounts(str(row.id), parents, row.kind, from_text(row.labels))

    def prepare(
        self,
        namespace: str,
        key: str,
        parent: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        lease: str = "",
    ) -> list[Mount]:
        """Make a writable snapshot. Raises AlreadyExists, NotFound (parent, lease), InvalidArgument, Unknown."""
        return self._create(Kind.ACTIVE, namespace, key, parent, labels or {}, lease)

    def view(
        self,
        namespace: str,
        key: str,
        parent: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        lease: str = "",
    ) -> list[Mount]:
        """Make a read-only snapshot; raises as ``prepare`` does, and publishes nothing."""
        return self._create(Kind.VIEW, namespace, key, parent, labels or {}, lease)

    def commit(
        self,
        namespace: str,
        name: str,
        key: str,
        labels: Mapping[str, str] | None = None,
        *,
        parent: str = "",
        lease: str = "",
    ) -> None:
        """Seal an active snapshot under ``name``; ``key`` is gone then, and only the labels given here remain.

        Raises NotFound (key, parent, lease), AlreadyExists (name), FailedPrecondition (key is no active snapshot),
        InvalidArgument (another parent than the one it has, or one where the driver cannot rebase).
        """
        if not name:
            raise InvalidArgument("snapshot name must not be empty")
        kept = stored_labels(labels or {})

        def check(connection: Connection) -> tuple[Row, int]:
            row = self._committable(connection, namespace, name, key)
            return row, self._new_parent(connection, row, namespace, parent)

        def query(connection: Connection) -> tuple[Row, list[str]]:
            row, above = check(connection)
            return row, self._chain(connection, above)

        row, parents = self._database.read(query)
        with self._span("snapshot.measure", snapshotter=self.name):
            try:
                usage = self.driver.commit(str(row.id), parents)
            except OSError as error:
                raise disk_error(error, "snapshot", key) from error
        hit("snapshot.commit.measured")

        def change(connection: Connection) -> list[int]:
            row, above = check(connection)
            leases.require(connection, namespace, lease)
            replaced = snapshotrows.replace_lost(connection, row, name)
            snapshotrows.seal(
                connection, row, name, usage, parent=above, labels=to_text(kept), at=to_micros(now()), boot=self._boot
            )
            leases.move(connection, namespace, (self._type, key), (self._type, name))
            leases.hold(connection, namespace, lease, self._type, name)
            message = SnapshotCommit(key=key, name=name, snapshotter=self.name)
            self._tell(namespace, "/snapshot/commit", message)
            return replaced

        replaced = self._database.write(change, durable=False)
        hit("snapshot.commit.row")
        for old in replaced:
            self._remove_directory(old)
        self._syncer.request()

    def remove(self, namespace: str, key: str) -> None:
        """Remove a snapshot. Raises NotFound, FailedPrecondition while others stand on it."""

        def change(connection: Connection) -> int:
            row = self._row(connection, namespace, key)
            if snapshotrows.has_children(connection, row):
                raise FailedPrecondition("snapshot", key, "others have it as parent: remove these first")
            self._delete(connection, row)
            return row.id

        removed = self._database.write(change, durable=False, frees=True)
        hit("snapshot.remove.row")
        self._remove_directory(removed)

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Iterator[SnapshotInfo]:
        """The snapshots that pass the filters, by key. Raises Unknown for a filter that does not parse."""
        try:
            matches = compile_filters(filters)
        except InvalidArgument as error:
            raise Unknown(str(error)) from error  # the contract leaves this error unmapped
        found = self._database.read(lambda connection: snapshotrows.infos(connection, self.name, namespace))
        return (info for info in found if matches(adaptor(info)))

    def cleanup(self, namespace: str) -> None:
        """Raises Unimplemented always: removal is immediate."""
        raise Unimplemented("cleanup of snapshotter", self.name)

    # -- a collection's part: `stores.collector.Store` --------------------------------------------------------------

    def items(self, connection: Connection) -> Iterable[Item]:
        """Every snapshot in all namespaces, lost ones too, with its parent."""
        for namespace, key, parent, labels in snapshotrows.graph(connection, self.name):
            above = (snapshot_node(namespace, self.name, parent),) if parent else ()
            yield Item(snapshot_node(namespace, self.name, key), from_text(labels), above)

    def remove_collected(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Delete the rows of this snapshotter's nodes and publish their removal; `sweep` takes the directories."""
        prefix = f"{self.name}/"
        for node in nodes:
            if node.kind is NodeKind.SNAPSHOT and node.key.startswith(prefix):
                for row in snapshotrows.all_of(connection, self.name, node.namespace, node.key[len(prefix) :]):
                    self._delete(connection, row)

    def sweep(self) -> None:
        """Delete the directories that have no row; failures are logged and tried again next time."""
        there = {int(name) for name in self.driver.ids()}
        with self._lock:  # after the listing: what is busy now has its row before it stops being so
            there -= self._busy
        there -= self._database.read(lambda connection: snapshotrows.ids(connection, self.name))
        for orphan in sorted(there):
            self._sweep_directory(orphan)

    def close(self) -> None:
        """Sync what was committed last and stop the background thread."""
        self._syncer.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _type(self) -> str:
        """The resource type of leases."""
        return f"snapshots/{self.name}"

    def _open(self) -> int:
        """Mark lost rows, and return the highest id that was ever used."""
        there = {int(name) for name in self.driver.ids()}
        lost = self._database.write(
            lambda connection: snapshotrows.mark_lost(connection, self.name, there, self._boot), durable=False
        )
        for namespace, key, why in lost:
            _log.warning("snapshot lost", snapshotter=self.name, namespace=namespace, key=key, why=why)
        known = self._database.read(lambda connection: snapshotrows.ids(connection, self.name))
        self._unswept = bool(there - known)
        if self._unswept or self._database.read(lambda connection: snapshotrows.unsynced(connection, self.name)):
            self._syncer.request()
        return max(there | known, default=0)

    def _create(
        self, kind: Kind, namespace: str, key: str, parent: str, labels: Mapping[str, str], lease: str
    ) -> builtins.list[Mount]:
        if not key:
            raise Unknown("snapshot key must not be empty")  # the contract leaves this error unmapped
        kept = stored_labels(labels)

        def check(connection: Connection) -> int:
            self._creatable(connection, namespace, key, kept)
            leases.require(connection, namespace, lease)
            return self._committed(connection, namespace, parent).id if parent else 0

        parents = self._database.read(lambda connection: self._chain(connection, check(connection)))
        above = int(parents[0]) if parents else 0
        number = self._take_id()
        try:
            self._make_directory(number, parents, kind, kept, key)

            def change(connection: Connection) -> None:
                if check(connection) != above:
                    raise NotFound("snapshot", parent, "it was replaced meanwhile: try again")
                namespaces.ensure(connection, namespace)
                row = (self.name, number, namespace, key, above, kind.value, to_text(kept))
                snapshotrows.insert(connection, row, to_micros(now()))
                leases.hold(connection, namespace, lease, self._type, key)
                if kind is Kind.ACTIVE:
                    message = SnapshotPrepare(key=key, parent=parent, snapshotter=self.name)
                    self._tell(namespace, "/snapshot/prepare", message)

            try:
                self._database.write(change, durable=False)
            except BaseException:
                self._delete_directory(number)
                raise
        finally:
            self._release(number)
        hit("snapshot.prepare.row")
        return self.driver.mounts(str(number), parents, kind, kept)

    def _make_directory(self, id: int, parents: Sequence[str], kind: Kind, labels: Mapping[str, str], key: str) -> None:
        try:
            with self._span("snapshot.prepare", snapshotter=self.name):
                self.driver.prepare(str(id), parents, kind, labels)
            hit("snapshot.prepare.dir")
        except BaseException as error:
            self._delete_directory(id)
            if isinstance(error, OSError):
                raise disk_error(error, "snapshot", key) from error
            raise

    def _row(self, connection: Connection, namespace: str, key: str) -> Row:
        row = snapshotrows.find(connection, self.name, namespace, key)
        if row is None:
            raise NotFound("snapshot", key)
        return row

    def _creatable(self, connection: Connection, namespace: str, key: str, labels: Mapping[str, str]) -> None:
        """Raise AlreadyExists when the key is taken, or when what it is to become is there already."""
        for name in (key, labels.get(REF_LABEL, "")):
            if name and snapshotrows.find(connection, self.name, namespace, name) is not None:
                raise AlreadyExists("snapshot", name)

    def _committed(self, connection: Connection, namespace: str, key: str) -> Row:
        """The row of a parent. Raises NotFound, InvalidArgument."""
        row = self._row(connection, namespace, key)
        if row.kind is not Kind.COMMITTED:
            raise InvalidArgument("parent snapshot", key, f"it is {row.kind.value}, and only a committed one can be")
        return row

    def _committable(self, connection: Connection, namespace: str, name: str, key: str) -> Row:
        # The name first: a client that repeats a commit has to hear that it is done.
        if name != key and snapshotrows.find(connection, self.name, namespace, name) is not None:
            raise AlreadyExists("snapshot", name)
        row = self._row(connection, namespace, key)
        if row.kind is not Kind.ACTIVE:
            raise FailedPrecondition(
                "snapshot", key, f"it is {row.kind.value}, and only an active one can be committed"
            )
        return row

    def _new_parent(self, connection: Connection, row: Row, namespace: str, parent: str) -> int:
        """The id of the parent a commit ends up with."""
        if not parent:
            return row.parent
        above = self._committed(connection, namespace, parent).id
        if row.parent not in (0, above):
            raise InvalidArgument("parent snapshot", parent, f"{row.key!r} already has another parent")
        if row.parent == 0 and REBASE not in self.driver.capabilities:
            raise InvalidArgument("parent snapshot", parent, f"snapshotter {self.name} cannot rebase: prepare with it")
        return above

    def _chain(self, connection: Connection, id: int) -> builtins.list[str]:
        """Backend ids from ``id`` down to the bottom, nearest first. Raises DataLoss naming a layer that is lost."""
        chain = snapshotrows.chain(connection, self.name, id)
        for _, key, lost in chain:
            if lost:
                raise DataLoss("snapshot", key, "its files are gone: pull the image again and the layer is restored")
        return [str(layer) for layer, _, _ in chain]

    def _delete(self, connection: Connection, row: Row) -> None:
        snapshotrows.delete(connection, row)
        leases.drop(connection, row.namespace, self._type, row.key)
        self._tell(row.namespace, "/snapshot/remove", SnapshotRemove(key=row.key, snapshotter=self.name))

    def _tell(self, namespace: str, topic: str, message: EventMessage) -> None:
        self._database.after_commit(lambda: self._publish(namespace, topic, message))

    def _take_id(self) -> int:
        with self._lock:
            self._last += 1
            self._busy.add(self._last)
            return self._last

    def _release(self, id: int) -> None:
        with self._lock:
            self._busy.discard(id)

    def _remove_directory(self, id: int) -> None:
        """Delete a directory whose row is gone, unless somebody does so already; if it cannot be now, then soon."""
        self._sweep_directory(id)
        if self._unswept:
            self._syncer.request()

    def _sweep_directory(self, id: int) -> None:
        with self._lock:
            if id in self._busy:
                return
            self._busy.add(id)
        try:
            self._delete_directory(id)
        finally:
            self._release(id)

    def _delete_directory(self, id: int) -> None:
        try:
            self.driver.remove(str(id))
        except OSError as error:
            # A container whose creation was given up may still have put something in: it is tried again.
            _log.warning("snapshot directory stays for the next sweep", snapshotter=self.name, id=id, error=str(error))
            self._unswept = True

    def _tidy(self) -> None:
        """In the background: delete what a crash left, make the files of committed rows durable and note that."""
        if self._unswept:
            self._unswept = False
            self.sweep()
        pending = self._database.read(lambda connection: snapshotrows.unsynced(connection, self.name))
        if pending:
            self.driver.sync()
            self._database.write(
                lambda connection: snapshotrows.set_synced(connection, self.name, pending), durable=False
            )


def _boot_id() -> str:
    """What tells one boot of the kernel from the next."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
