"""The writer of an ingest: appends, hashes while it writes, and turns the bytes into a blob."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.content import IngestStatus
from pycontainerd.core.digest import split_digest, validate_digest
from pycontainerd.core.errors import DataLoss, FailedPrecondition, OutOfRange, Unavailable
from pycontainerd.core.identifiers import stored_labels
from pycontainerd.stores.blobs import CHUNK, naming, shared
from pycontainerd.stores.columns import now
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Mapping


class Owner(Protocol):
    """What a writer needs of its store."""

    def finish(self, ingest: Ingest, digest: str, size: int, labels: Mapping[str, str]) -> None:
        """Make the synced data of the ingest a blob of its namespace, and the ingest vanish."""

    def release(self, ingest: Ingest) -> None:
        """The writer is closed: the reference is free for the next."""


class Ingest:
    """Identity and declarations of an ingest; ``total`` is stored, ``promised`` and ``expected`` are this opening's."""

    __slots__ = ("directory", "expected", "lease", "namespace", "promised", "ref", "sequence", "started_at", "total")

    def __init__(self, namespace: str, ref: str, *, sequence: int, directory: str, started_at: datetime) -> None:
        self.namespace, self.ref = namespace, ref
        self.sequence, self.directory, self.started_at = sequence, directory, started_at
        self.expected, self.total, self.promised, self.lease = "", 0, 0, ""

    @property
    def data(self) -> str:
        """The path of the bytes."""
        return os.path.join(self.directory, "data")


class IngestWriter:
    """``core.content.Writer``. Not for two threads at once; ``close`` is safe to repeat and keeps the ingest."""

    def __init__(self, ingest: Ingest, owner: Owner, *, known_digest: str = "") -> None:
        """Open the data file, re-hashing what is there; ``known_digest`` spares that for bytes of an existing blob."""
        self._ingest, self._owner = ingest, owner
        self._descriptor = -1
        self._algorithm = split_digest(ingest.expected)[0] if ingest.expected else "sha256"
        self._hash = hashlib.new(self._algorithm)
        self._known = known_digest
        with naming(ingest.data):
            self._descriptor = os.open(ingest.data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            self._offset = os.fstat(self._descriptor).st_size
            if not known_digest:
                self._rehash()
        self._updated_at = now()

    # -- what clients ask -------------------------------------------------------------------------------------------

    def status(self) -> IngestStatus:
        """Where the write stands; ``expected`` is left empty, as peers leave it."""
        ingest = self._ingest
        return IngestStatus(
            ingest.ref, self._offset, ingest.total, started_at=ingest.started_at, updated_at=self._updated_at
        )

    def digest(self) -> str:
        """The digest of the bytes so far."""
        return self._known or f"{self._algorithm}:{self._hash.hexdigest()}"

    def write(self, data: bytes | memoryview) -> int:
        """Append and return the new offset. Raises ResourceExhausted, DataLoss (short write), Unavailable."""
        self._own()
        start, view = self._offset, memoryview(data)
        try:
            with naming(self._ingest.data):
                hit("content.write")
                while view:
                    count = os.pwrite(self._descriptor, view, self._offset)
                    if count == 0:
                        raise DataLoss("ingest", self._ingest.ref, "the disk took fewer bytes than it was given")
                    self._offset += count
                    view = view[count:]
        except BaseException:
            # The hash has not seen these bytes: cut them off, so that a retry goes on from the acknowledged offset.
            self._offset = start
            os.ftruncate(self._descriptor, start)
            raise
        self._hash.update(data)
        self._updated_at = now()
        return self._offset

    def truncate(self, size: int) -> None:
        """Cut back to ``size`` bytes and restart the hash. Raises OutOfRange."""
        if not 0 <= size <= self._offset:
            raise OutOfRange("size of ingest", self._ingest.ref, f"cannot cut {self._offset} bytes to {size}")
        self._own(keep=size)
        with naming(self._ingest.data):
            os.ftruncate(self._descriptor, size)
            self._offset = size
            self._rehash()

    def commit(self, *, size: int = 0, expected: str = "", labels: Mapping[str, str] | None = None) -> str:
        """Make the blob durable and visible; return its digest.

        Raises FailedPrecondition (the size or digest asked for here, or declared when the writer was opened, differs;
        the ingest is kept), AlreadyExists (the ingest is removed), NotFound (it was aborted), ResourceExhausted.
        """
        self._open_or_fail()
        kept = stored_labels(labels or {})
        digest = self._checked(size or self._ingest.promised, expected or self._ingest.expected)
        hit("content.commit.start")
        with naming(self._ingest.data):
            if not shared(self._descriptor):
                os.fchmod(self._descriptor, 0o444)
            os.fsync(self._descriptor)
        hit("content.commit.synced")
        self._owner.finish(self._ingest, digest, self._offset, kept)
        self.close()
        return digest

    def close(self) -> None:
        """Let go of the ingest, which stays for a later resume unless it was committed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._owner.release(self._ingest)

    def __enter__(self) -> IngestWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- how --------------------------------------------------------------------------------------------------------

    def _open_or_fail(self) -> None:
        if self._descriptor < 0:
            raise Unavailable("writer of ingest", self._ingest.ref, "it is closed: open it again to resume")

    def _checked(self, size: int, expected: str) -> str:
        """The digest of the bytes, after holding them against what was promised."""
        if size and size != self._offset:
            raise FailedPrecondition(
                "size of ingest", self._ingest.ref, f"{self._offset} bytes are here, {size} were promised"
            )
        if expected:
            algorithm = split_digest(validate_digest(expected))[0]
            if algorithm != self._algorithm:
                self._algorithm = algorithm
                self._rehash()
        digest = self.digest()
        if expected and expected != digest:
            raise FailedPrecondition(
                "digest of ingest", self._ingest.ref, f"the bytes have {digest}, {expected} was promised"
            )
        return digest

    def _rehash(self) -> None:
        self._known = ""
        self._hash = hashlib.new(self._algorithm)
        position = 0
        while position < self._offset:
            chunk = os.pread(self._descriptor, min(CHUNK, self._offset - position), position)
            if not chunk:
                raise DataLoss("ingest", self._ingest.ref, "its data file got shorter")
            self._hash.update(chunk)
            position += len(chunk)

    def _own(self, keep: int = -1) -> None:
        """Before a change: replace a file that a blob shares by a copy of its first ``keep`` bytes (all by default)."""
        self._open_or_fail()
        if not shared(self._descriptor):
            if self._known:
                self._rehash()
            return
        keep = self._offset if keep < 0 else keep
        path = self._ingest.data
        with naming(path):
            copy = os.open(f"{path}.copy", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            position = 0
            while position < keep:
                count = os.copy_file_range(self._descriptor, copy, keep - position, position, position)
                if count == 0:
                    break
                position += count
            os.replace(f"{path}.copy", path)
            os.close(self._descriptor)
            self._descriptor, self._offset = copy, position
            self._rehash()


def latest(started: datetime, mtime: float | None) -> datetime:
    """When an ingest was last touched, from its row and its file."""
    return started if mtime is None else max(started, datetime.fromtimestamp(mtime, UTC))
