"""Content: immutable blobs under their digest, written through resumable ingests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.filters import ABSENT, map_field, text_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.filters import Adaptor


@dataclass(frozen=True, slots=True)
class ContentInfo:
    """What a namespace knows of a blob; ``size`` in bytes."""

    digest: str
    size: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """Where a write stands; ``offset`` and ``total`` in bytes, ``total`` 0 when undeclared."""

    ref: str
    offset: int = 0
    total: int = 0
    expected: str = ""
    started_at: datetime | None = None
    updated_at: datetime | None = None


def adaptor(info: ContentInfo) -> Adaptor:
    """The fields filters see: digest, labels. A size is never present, as peers have it."""

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] == "digest":
            return text_field(info.digest)
        return map_field(info.labels, path[1:]) if path[0] == "labels" else ABSENT

    return field_of


def ingest_adaptor(status: IngestStatus) -> Adaptor:
    """The one field filters see of an ingest: ref."""
    return lambda path: text_field(status.ref) if path[0] == "ref" else ABSENT


class Blob(Protocol):
    """An open blob; a context manager that closes its descriptor."""

    size: int

    def fileno(self) -> int: ...

    def pread(self, size: int, offset: int) -> bytes: ...

    def close(self) -> None: ...

    def __enter__(self) -> Blob: ...

    def __exit__(self, *exc: object) -> None: ...


class Writer(Protocol):
    """The one open writer of an ingest. ``close`` keeps the ingest for a later resume; ``commit`` ends it."""

    def status(self) -> IngestStatus: ...

    def digest(self) -> str:
        """The digest of the bytes so far."""

    def write(self, data: bytes | memoryview) -> int:
        """Append and return the new offset. Raises ResourceExhausted on a full disk, DataLoss on a short write."""

    def truncate(self, size: int) -> None:
        """Cut back (mostly to 0) and restart the hash."""

    def commit(self, *, size: int = 0, expected: str = "", labels: Mapping[str, str] | None = None) -> str:
        """Make the blob durable and visible; return its digest.

        Raises FailedPrecondition (size or digest differs; the ingest is kept), AlreadyExists (the ingest is removed).
        """

    def close(self) -> None: ...

    def __enter__(self) -> Writer: ...

    def __exit__(self, *exc: object) -> None: ...


class ContentStore(Protocol):
    """Blobs of all namespaces: bytes are shared, visibility is not. NotFound, InvalidArgument as the names suggest."""

    def info(self, namespace: str, digest: str) -> ContentInfo: ...

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Iterator[ContentInfo]: ...

    def update(self, namespace: str, info: ContentInfo, paths: Sequence[str] = ()) -> ContentInfo: ...

    def delete(self, namespace: str, digest: str) -> None: ...

    def open(self, namespace: str, digest: str) -> Blob: ...

    def read(self, namespace: str, digest: str, limit: int = 16 << 20) -> bytes:
        """A whole small blob. Raises ResourceExhausted when it is larger than ``limit`` bytes."""

    def writer(self, namespace: str, ref: str, *, total: int = 0, expected: str = "", lease: str = "") -> Writer:
        """Open or resume an ingest.

        Raises Unavailable (another writer has the ref), AlreadyExists (``expected`` is here), NotFound (no such lease).
        With an ``expected`` digest that another namespace holds (and policy shares), the writer starts complete.
        """

    def status(self, namespace: str, ref: str) -> IngestStatus: ...

    def statuses(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[IngestStatus]: ...

    def abort(self, namespace: str, ref: str) -> None: ...
