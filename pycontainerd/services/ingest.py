"""The state of one Content.Write call: synchronous, one message at a time.

The rules are containerd's: an offset above zero must be where the ingest stands; offset 0 with bytes already there
starts over; COMMIT obeys the same rule, may carry data and ends the call; totals and digests given on any message
count from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.api.content.v1 import content_pb2 as pb
from pycontainerd.core.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound, OutOfRange
from pycontainerd.services.convert import to_timestamp

if TYPE_CHECKING:
    from pycontainerd.core.content import ContentStore, Writer


class Ingest:
    """One open write; ``close`` it whatever happened."""

    def __init__(self, store: ContentStore, namespace: str, ref: str, writer: Writer) -> None:
        self._store, self._namespace, self._ref, self._writer = store, namespace, ref, writer
        self._total = 0
        self._expected = ""

    @classmethod
    def open(cls, store: ContentStore, namespace: str, first: pb.WriteContentRequest, *, lease: str) -> Ingest:
        """Open or resume the ingest that the first message names. Raises what ``ContentStore.writer`` raises."""
        writer = store.writer(namespace, first.ref, total=first.total, expected=first.expected, lease=lease)
        ingest = cls(store, namespace, first.ref, writer)
        ingest._total, ingest._expected = first.total, first.expected
        return ingest

    def apply(self, request: pb.WriteContentRequest) -> pb.WriteContentResponse:
        """Do what one message asks and answer it.

        Raises OutOfRange (offset), InvalidArgument (totals or actions that make no sense), AlreadyExists,
        FailedPrecondition (size or digest differs), DataLoss.
        """
        self._declare(request)
        response = pb.WriteContentResponse(action=request.action)
        if request.action in {pb.WRITE, pb.COMMIT}:
            self._write(request)
        elif request.action != pb.STAT:
            raise InvalidArgument("write action", request.action, "want STAT, WRITE or COMMIT")
        status = self._writer.status()
        if request.action == pb.COMMIT:
            response.digest = self._writer.commit(
                size=self._total, expected=self._expected, labels=dict(request.labels)
            )
        else:  # also after a WRITE: Go's remote writer answers Digest() from the last message
            response.digest = self._writer.digest()
        response.offset = status.offset
        response.total = self._total or status.total
        response.started_at.CopyFrom(to_timestamp(status.started_at))
        response.updated_at.CopyFrom(to_timestamp(status.updated_at))
        return response

    def close(self) -> None:
        """Let go of the ref; what is not committed stays to be resumed."""
        self._writer.close()

    def _declare(self, request: pb.WriteContentRequest) -> None:
        if request.total < 0:
            raise InvalidArgument("total", request.total, "must not be negative")
        if request.total:
            self._total = request.total
        if request.expected and request.expected != self._expected:
            self._expected = request.expected
            self._refuse_known(request.expected)

    def _refuse_known(self, digest: str) -> None:
        """A digest declared late that is here already ends the write, and the ingest with it."""
        try:
            self._store.info(self._namespace, digest)
        except NotFound:
            return
        self._writer.close()
        self._store.abort(self._namespace, self._ref)
        raise AlreadyExists("content", digest)

    def _write(self, request: pb.WriteContentRequest) -> None:
        offset = self._writer.status().offset
        if request.offset < 0:
            raise InvalidArgument("write offset", request.offset, "must not be negative")
        if request.offset and request.offset != offset:
            raise OutOfRange("write offset", request.offset, f"the ingest stands at {offset}")
        if not request.offset and offset:
            self._writer.truncate(0)
            offset = 0
        if request.data:
            end = self._writer.write(request.data)
            if end != offset + len(request.data):
                raise DataLoss("write", self._ref, f"{len(request.data)} bytes sent, the ingest ends at {end}")
