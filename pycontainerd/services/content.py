"""containerd.services.content.v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.content.v1 import content_pb2 as pb
from pycontainerd.core.content import ContentInfo
from pycontainerd.core.errors import InvalidArgument, OutOfRange
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import require, to_timestamp
from pycontainerd.services.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pycontainerd.core.content import Blob, ContentStore, IngestStatus
    from pycontainerd.rpc.call import Call

BLOCK = 100
"""Infos in one message of List."""
CHUNK = 1 << 20
"""Most bytes in one message of Read."""


class ContentService(Service):
    """The Content service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Content"]

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    async def Info(self, request: pb.InfoRequest, call: Call) -> pb.InfoResponse:
        """One blob's record."""
        return pb.InfoResponse(info=_info(await offload(self._store.info, call.namespace, request.digest)))

    async def Update(self, request: pb.UpdateRequest, call: Call) -> pb.UpdateResponse:
        """Change labels."""
        namespace = call.namespace
        require(request, "info")
        value = ContentInfo(request.info.digest, labels=dict(request.info.labels))
        info = await offload(self._store.update, namespace, value, tuple(request.update_mask.paths))
        return pb.UpdateResponse(info=_info(info))

    async def List(self, request: pb.ListContentRequest, call: Call) -> AsyncIterator[pb.ListContentResponse]:
        """Records that match, in blocks."""
        namespace, filters = call.namespace, tuple(request.filters)
        infos = await offload(lambda: list(self._store.list(namespace, filters)))
        for start in range(0, len(infos), BLOCK):
            yield pb.ListContentResponse(info=map(_info, infos[start : start + BLOCK]))

    async def Delete(self, request: pb.DeleteContentRequest, call: Call) -> Empty:
        """Delete a blob from this namespace."""
        await offload(self._store.delete, call.namespace, request.digest)
        return Empty()

    async def Read(self, request: pb.ReadContentRequest, call: Call) -> AsyncIterator[pb.ReadContentResponse]:
        """The bytes from ``offset``, ``size`` of them (0: to the end). Offsets in answers count from the first byte
        sent, not from the start of the blob."""
        blob, data, start, end = await offload(_begin, self._store, call.namespace, request)
        with blob:
            position = start
            while data:
                yield pb.ReadContentResponse(offset=position - start, data=data)
                position += len(data)
                data = await offload(blob.pread, min(CHUNK, end - position), position) if position < end else b""

    async def Status(self, request: pb.StatusRequest, call: Call) -> pb.StatusResponse:
        """Where a write stands."""
        return pb.StatusResponse(status=_status(await offload(self._store.status, call.namespace, request.ref)))

    async def ListStatuses(self, request: pb.ListStatusesRequest, call: Call) -> pb.ListStatusesResponse:
        """Writes that match."""
        found = await offload(self._store.statuses, call.namespace, tuple(request.filters))
        return pb.ListStatusesResponse(statuses=map(_status, found))

    async def Write(
        self, requests: AsyncIterator[pb.WriteContentRequest], call: Call
    ) -> AsyncIterator[pb.WriteContentResponse]:
        """Write an ingest; one answer a message, ends after COMMIT. Ending early keeps the ingest."""
        namespace = call.namespace
        opened: list[Ingest] = []
        try:
            async for request in requests:
                if not opened:
                    if not request.ref:
                        raise InvalidArgument("the first message of a write carries no ref")
                    await offload(_open, opened, self._store, namespace, request, call.lease)
                yield await offload(opened[0].apply, request)
                if request.action == pb.COMMIT:
                    return
        finally:
            # A close is one system call, and waiting for a thread's turn here could be cancelled in its turn.
            for ingest in opened:
                ingest.close()

    async def Abort(self, request: pb.AbortRequest, call: Call) -> Empty:
        """Throw an ingest away."""
        await offload(self._store.abort, call.namespace, request.ref)
        return Empty()


def _open(opened: list[Ingest], store: ContentStore, namespace: str, first: pb.WriteContentRequest, lease: str) -> None:
    """Open the ingest into ``opened`` within the thread, so that a call cancelled meanwhile finds what to close."""
    opened.append(Ingest.open(store, namespace, first, lease=lease))


def _begin(store: ContentStore, namespace: str, request: pb.ReadContentRequest) -> tuple[Blob, bytes, int, int]:
    """Open a blob and read its first piece; (blob, piece, start, end). In one step, since Go clients copy a blob by
    many small reads, each a call of its own. Raises OutOfRange."""
    blob = store.open(namespace, request.digest)
    try:
        start = max(request.offset, 0)
        if start > blob.size:
            raise OutOfRange("read offset", start, f"the blob has {blob.size} bytes")
        end = min(blob.size, start + request.size) if request.size > 0 else blob.size
        return blob, blob.pread(min(CHUNK, end - start), start) if end > start else b"", start, end
    except BaseException:
        blob.close()
        raise


def _info(value: ContentInfo) -> pb.Info:
    return pb.Info(
        digest=value.digest,
        size=value.size,
        created_at=to_timestamp(value.created_at),
        updated_at=to_timestamp(value.updated_at),
        labels=value.labels,
    )


def _status(value: IngestStatus) -> pb.Status:
    # ``expected`` stays empty in answers, as peers leave it.
    return pb.Status(
        ref=value.ref,
        offset=value.offset,
        total=value.total,
        started_at=to_timestamp(value.started_at),
        updated_at=to_timestamp(value.updated_at),
    )
