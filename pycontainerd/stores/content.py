"""Content: rows that say which namespace sees which blob, over one set of files.

Order of a commit: sync the data, name the blob, sync the directory, commit the row, remove the ingest. Order of a
removal: commit the row's deletion, then unlink the file if no namespace has a row. So a crash leaves files without
rows, which the boot check removes, never an acknowledged row without its file. Rows whose file is gone all the same (a
broken disk) become ``lost``: invisible, so that the blob can be fetched again, but still a part of the reference graph.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.content import ContentInfo, IngestStatus, adaptor, ingest_adaptor
from pycontainerd.core.digest import validate_digest
from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from pycontainerd.core.events import discard
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.gc import Kind
from pycontainerd.core.identifiers import masked_labels, stored_labels
from pycontainerd.stores import content_rows as rows
from pycontainerd.stores import leases, namespaces
from pycontainerd.stores.blobs import Files, OpenBlob, modified
from pycontainerd.stores.columns import now
from pycontainerd.stores.content_check import check
from pycontainerd.stores.ingests import Ingest, IngestWriter, latest
from pycontainerd.wire.failpoint import hit
from pycontainerd.wire.messages.events_content import ContentCreate, ContentDelete

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from sqlite3 import Connection

    from pycontainerd.core.events import Publish
    from pycontainerd.core.gc import Item, Node
    from pycontainerd.stores.database import Database

_log = structlog.get_logger(__name__)
PAGE = 500
"""Rows per read of a listing: bounds memory and the life of a snapshot."""


class Content:
    """``core.content.ContentStore`` with its files under ``root``; opening it runs the boot check.

    ``isolated`` shares bytes only from namespaces labelled ``containerd.io/namespace.shareable=true``.
    """

    def __init__(self, database: Database, root: str, publish: Publish = discard, *, isolated: bool = False) -> None:
        self._database, self._publish, self._isolated = database, publish, isolated
        self._files = Files(root)
        self._lock = threading.Lock()
        self._writing: set[tuple[str, str]] = set()
        self._placing: dict[str, int] = {}
        self._garbage_blobs: set[str] = set()
        self._garbage_ingests: set[str] = set()
        self.findings = check(database, self._files)

    # -- blobs ------------------------------------------------------------------------------------------------------

    def info(self, namespace: str, digest: str) -> ContentInfo:
        """Raises InvalidArgument, NotFound."""
        validate_digest(digest)
        found = self._database.read(lambda connection: rows.info(connection, namespace, digest))
        if found is None:
            raise NotFound("content", digest)
        return found

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Iterator[ContentInfo]:
        """The blobs that pass the filters (fields ``digest`` and ``labels``), by digest. Raises InvalidArgument."""
        matches = compile_filters(filters)
        return (info for info in self._pages(namespace) if matches(adaptor(info)))

    def _pages(self, namespace: str) -> Iterator[ContentInfo]:
        last = ""
        while True:
            page = self._page(namespace, last)
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].digest

    def _page(self, namespace: str, last: str) -> Sequence[ContentInfo]:
        return self._database.read(lambda connection: rows.page(connection, namespace, last, PAGE))

    def update(self, namespace: str, info: ContentInfo, paths: Sequence[str] = ()) -> ContentInfo:
        """Replace labels (all, or those that the mask names). Raises InvalidArgument, NotFound."""
        validate_digest(info.digest)
        for path in paths:
            if path != "labels" and not path.startswith("labels."):
                raise InvalidArgument("update mask path", path, "only labels and labels.<key> can be updated")

        def change(connection: Connection) -> ContentInfo:
            old = rows.info(connection, namespace, info.digest)
            if old is None:
                raise NotFound("content", info.digest)
            labels = masked_labels(old.labels, info.labels, paths) if paths else stored_labels(info.labels)
            at = now()
            rows.set_labels(connection, namespace, info.digest, labels, at)
            return ContentInfo(old.digest, old.size, old.created_at, at, labels)

        return self._database.write(change)

    def delete(self, namespace: str, digest: str) -> None:
        """Take the blob from this namespace; its bytes go with the last one. Raises InvalidArgument, NotFound."""
        validate_digest(digest)

        def change(connection: Connection) -> None:
            if rows.info(connection, namespace, digest) is None:
                raise NotFound("content", digest)
            rows.delete(connection, namespace, digest)
            self._tell(namespace, "/content/delete", ContentDelete(digest=digest))

        self._database.write(change, frees=True)
        hit("content.delete.committed")
        self._remove_unreferenced(digest)

    def open(self, namespace: str, digest: str) -> OpenBlob:
        """Open a blob for reading. Raises InvalidArgument, NotFound (also when its file is gone)."""
        self.info(namespace, digest)
        try:
            return OpenBlob(self._files.blob(digest))
        except FileNotFoundError as error:
            self._lose(digest)
            self.info(namespace, digest)
            raise NotFound("content", digest, "its file is gone: fetch it again") from error

    def read(self, namespace: str, digest: str, limit: int = 16 << 20) -> bytes:
        """A whole small blob. Raises ResourceExhausted when it is larger than ``limit`` bytes."""
        with self.open(namespace, digest) as blob:
            if blob.size > limit:
                raise ResourceExhausted("content", digest, f"{blob.size} bytes are more than the {limit} allowed here")
            parts: list[bytes] = []
            position = 0
            while position < blob.size and (part := blob.pread(blob.size - position, position)):
                parts.append(part)
                position += len(part)
            return b"".join(parts)

    def _lose(self, digest: str) -> None:
        """Hide a blob whose file turned out to be missing; a concurrent delete or commit is told apart inside."""

        def change(connection: Connection) -> bool:
            if os.path.lexists(self._files.blob(digest)) or not rows.held(connection, digest):
                return False
            rows.mark_lost(connection, digest)
            return True

        if self._database.write(change):
            _log.error("the file of a blob is gone; the blob is hidden until it is fetched again", digest=digest)

    # -- ingests ----------------------------------------------------------------------------------------------------

    def writer(self, namespace: str, ref: str, *, total: int = 0, expected: str = "", lease: str = "") -> IngestWriter:
        """Open or resume an ingest.

        Raises Unavailable (another writer has the ref), AlreadyExists (``expected`` is here; the lease holds it now),
        NotFound (no such lease), InvalidArgument. When another namespace shares the ``expected`` digest, a fresh writer
        starts complete.
        """
        if not ref:
            raise InvalidArgument("ref of ingest must not be empty")
        if expected:
            validate_digest(expected)
        if total < 0:
            raise InvalidArgument("total of ingest", ref, "must not be negative")
        with self._lock:
            if (namespace, ref) in self._writing:
                raise Unavailable("ref", ref, "another writer has it: wait for that or abort it")
            self._writing.add((namespace, ref))
        try:
            return self._open_writer(namespace, ref, total, expected, lease)
        except BaseException:
            with self._lock:
                self._writing.discard((namespace, ref))
            raise

    def _open_writer(self, namespace: str, ref: str, total: int, expected: str, lease: str) -> IngestWriter:
        at = now()

        def begin(connection: Connection) -> tuple[int, int, datetime, bool] | None:
            leases.require(connection, namespace, lease)
            namespaces.ensure(connection, namespace)
            if expected and rows.info(connection, namespace, expected) is not None:
                leases.hold(connection, namespace, lease, Kind.CONTENT, expected)
                return None
            before = rows.ingest(connection, namespace, ref)
            restart = before is not None and total > 0 and 0 < before[1] != total
            rows.open_ingest(connection, namespace, ref, expected, total, at)
            leases.hold(connection, namespace, lease, Kind.INGEST, ref)
            sequence, stored, started = rows.ingest(connection, namespace, ref) or (0, 0, at)
            return sequence, stored, started, restart

        # Not durable: after a power cut the bytes of an ingest may be short anyway, and a resume hashes what is there.
        opened = self._database.write(begin, durable=False)
        if opened is None:
            raise AlreadyExists("content", expected)
        sequence, stored, started, restart = opened
        directory = self._files.ingest(namespace, sequence, ref)
        ingest = Ingest(namespace, ref, sequence=sequence, directory=directory, started_at=started)
        ingest.total, ingest.promised, ingest.expected, ingest.lease = stored, total, expected, lease
        if restart or not os.path.isdir(directory):
            self._files.remove_ingest(directory)
            self._files.make_ingest(directory, ref, stored, started)
        return IngestWriter(ingest, self, known_digest=self._borrow(ingest))

    def _borrow(self, ingest: Ingest) -> str:
        """Link the expected blob of another namespace as this ingest's data; return its digest when that was done."""
        if not ingest.expected or os.path.exists(ingest.data):
            return ""
        size = self._database.read(
            lambda connection: rows.shared_size(connection, ingest.namespace, ingest.expected, isolated=self._isolated)
        )
        if size is None or (ingest.total and ingest.total != size):
            return ""
        try:
            os.link(self._files.blob(ingest.expected), ingest.data)
        except OSError:
            return ""  # deleted meanwhile, or no more links to be had: the client sends the bytes
        return ingest.expected

    def status(self, namespace: str, ref: str) -> IngestStatus:
        """Raises NotFound."""
        found = self._database.read(lambda connection: rows.ingest(connection, namespace, ref))
        if found is None:
            raise NotFound("ingest", ref)
        sequence, total, started = found
        return self._status(namespace, ref, sequence, total, started)

    def statuses(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[IngestStatus]:
        """The ingests that pass the filters (field ``ref``), by ref. Raises InvalidArgument."""
        matches = compile_filters(filters)
        found = self._database.read(lambda connection: rows.ingests(connection, namespace))
        statuses = [self._status(*row) for row in found]
        return [status for status in statuses if matches(ingest_adaptor(status))]

    def _status(self, namespace: str, ref: str, sequence: int, total: int, started: datetime) -> IngestStatus:
        data = os.path.join(self._files.ingest(namespace, sequence, ref), "data")
        try:
            offset = os.stat(data).st_size
        except FileNotFoundError:
            offset = 0
        updated = latest(started, modified(data))
        return IngestStatus(ref, offset, total, started_at=started, updated_at=updated)

    def abort(self, namespace: str, ref: str) -> None:
        """Throw an ingest away; a writer that still has it open cannot commit any more. Raises NotFound."""

        def change(connection: Connection) -> int:
            found = rows.ingest(connection, namespace, ref)
            if found is None:
                raise NotFound("ingest", ref)
            rows.end_ingest(connection, namespace, ref)
            return found[0]

        sequence = self._database.write(change, frees=True)
        hit("content.abort.committed")
        self._files.remove_ingest(self._files.ingest(namespace, sequence, ref))

    # -- what writers call (ingests.Owner) --------------------------------------------------------------------------

    def finish(self, ingest: Ingest, digest: str, size: int, labels: Mapping[str, str]) -> None:
        """Make the synced data of the ingest a blob of its namespace. Raises AlreadyExists, NotFound (aborted)."""

        def change(connection: Connection) -> bool:
            found = rows.ingest(connection, ingest.namespace, ingest.ref)
            if found is None or found[0] != ingest.sequence:
                raise NotFound("ingest", ingest.ref, "it was aborted")
            leases.hold(connection, ingest.namespace, ingest.lease, Kind.CONTENT, digest)
            leases.move(connection, ingest.namespace, (Kind.INGEST, ingest.ref), (Kind.CONTENT, digest))
            rows.end_ingest(connection, ingest.namespace, ingest.ref)
            if rows.info(connection, ingest.namespace, digest) is not None:
                return False
            rows.insert(connection, ingest.namespace, ContentInfo(digest, size, labels=labels), now())
            self._tell(ingest.namespace, "/content/create", ContentCreate(digest=digest, size=size))
            return True

        with self._lock:
            self._placing[digest] = self._placing.get(digest, 0) + 1
        try:
            self.status(ingest.namespace, ingest.ref)  # an aborted ingest has no file to place
            if not self._database.read(lambda connection: rows.held(connection, digest)):
                self._files.place(ingest.data, digest)
            hit("content.commit.placed")
            added = self._database.write(change)
        finally:
            with self._lock:
                self._placing[digest] -= 1
                if not self._placing[digest]:
                    del self._placing[digest]
            self._remove_unreferenced(digest)
        hit("content.commit.committed")
        self._files.remove_ingest(ingest.directory)
        if not added:
            raise AlreadyExists("content", digest)

    def release(self, ingest: Ingest) -> None:
        """A writer is closed."""
        with self._lock:
            self._writing.discard((ingest.namespace, ingest.ref))

    # -- garbage collection (collector.Store) -----------------------------------------------------------------------

    def items(self, connection: Connection) -> Iterator[Item]:
        """Every blob and ingest."""
        with self._lock:
            busy = set(self._writing)
        return rows.items(connection, busy)

    def remove_collected(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Delete the rows of blobs and ingests; their files go in ``sweep``."""
        blobs, directories = set[str](), set[str]()
        for node in nodes:
            if node.kind is Kind.CONTENT:
                rows.delete(connection, node.namespace, node.key)
                blobs.add(node.key)
            elif node.kind is Kind.INGEST and (found := rows.ingest(connection, node.namespace, node.key)):
                rows.end_ingest(connection, node.namespace, node.key)
                directories.add(self._files.ingest(node.namespace, found[0], node.key))

        def remember() -> None:
            self._garbage_blobs |= blobs
            self._garbage_ingests |= directories

        self._database.after_commit(remember)

    def sweep(self) -> None:
        """Delete the files of what ``remove_collected`` dropped."""
        blobs, self._garbage_blobs = self._garbage_blobs, set()
        directories, self._garbage_ingests = self._garbage_ingests, set()
        for digest in blobs:
            hit("content.sweep")
            self._remove_unreferenced(digest)
        for directory in directories:
            self._files.remove_ingest(directory)

    def _remove_unreferenced(self, digest: str) -> None:
        """Unlink a blob's file unless a namespace has it or a commit is about to give it to one."""
        with self._lock:
            if digest not in self._placing and not self._database.read(lambda c: rows.held(c, digest)):
                self._files.remove_blob(digest)

    def _tell(self, namespace: str, topic: str, message: ContentCreate | ContentDelete) -> None:
        self._database.after_commit(lambda: self._publish(namespace, topic, message))
