"""pycontainerd.volumes.v1: named directories that outlive containers (our own; containerd knows mounts only)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.volumes.v1 import volumes_pb2 as pb
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.volumes import LOCAL, Found, Volume
from pycontainerd.rpc.offload import offload, offload_long
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import require, to_timestamp
from pycontainerd.services.pipes import Pipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pycontainerd.core.volumes import VolumeStore
    from pycontainerd.rpc.call import Call


class VolumesService(Service):
    """The Volumes service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Volumes"]

    def __init__(self, store: VolumeStore) -> None:
        self._store = store

    async def Create(self, request: pb.CreateRequest, call: Call) -> pb.CreateResponse:
        """Make a volume."""
        made = await offload(self._store.create, call.namespace, _value(request))
        return pb.CreateResponse(volume=_message(Found(made)))

    async def Get(self, request: pb.GetRequest, call: Call) -> pb.GetResponse:
        """One volume, with its users."""
        found = await offload_long(self._store.get, call.namespace, request.name, usage=request.usage)
        return pb.GetResponse(volume=_message(found))

    async def List(self, request: pb.ListRequest, call: Call) -> pb.ListResponse:
        """Volumes that match."""
        run = offload_long if request.usage else offload
        found = await run(self._store.list, call.namespace, tuple(request.filters), usage=request.usage)
        return pb.ListResponse(volumes=map(_message, found))

    async def Remove(self, request: pb.RemoveRequest, call: Call) -> Empty:
        """Remove a volume with its data."""
        await offload_long(self._store.remove, call.namespace, request.name, force=request.force)
        return Empty()

    async def Prune(self, request: pb.PruneRequest, call: Call) -> pb.PruneResponse:
        """Remove what nobody uses."""
        done = await offload_long(self._store.prune, call.namespace, tuple(request.filters), all=request.all)
        return pb.PruneResponse(names=done.names, reclaimed=done.reclaimed)

    async def Rename(self, request: pb.RenameRequest, call: Call) -> pb.RenameResponse:
        """Give it another name."""
        renamed = await offload(self._store.rename, call.namespace, request.name, request.new_name)
        return pb.RenameResponse(volume=_message(Found(renamed)))

    async def Clone(self, request: pb.CloneRequest, call: Call) -> pb.CloneResponse:
        """Make a volume with another's content."""
        new = Volume(request.name, labels=dict(request.labels), options=dict(request.options))
        made = await offload_long(self._store.clone, call.namespace, request.source, new)
        return pb.CloneResponse(volume=_message(Found(made)))

    async def Export(self, request: pb.ExportRequest, call: Call) -> AsyncIterator[pb.ExportResponse]:
        """The content as a tar, as it is read from the disk."""
        namespace = call.namespace
        with Pipe.reader() as pipe:

            def pack() -> None:
                try:
                    self._store.export(namespace, request.name, pipe.far, request.compression)
                finally:
                    pipe.close_far()

            work = asyncio.create_task(offload_long(pack))
            try:
                while data := await pipe.read():
                    yield pb.ExportResponse(data=data)
                await work
            finally:
                pipe.close_near()  # whoever still packs sees that nobody reads
                await _ended(work)

    async def Import(self, requests: AsyncIterator[pb.ImportRequest], call: Call) -> pb.ImportResponse:
        """Unpack what the client sends; a cut stream is an archive that ends too early."""
        namespace = call.namespace
        first = await anext(aiter(requests), None)
        if first is None:
            raise InvalidArgument("the stream ended before its first message")
        require(first, "volume")
        if not first.volume.name:
            raise InvalidArgument("the first message names no volume")
        with Pipe.writer() as pipe:

            def unpack() -> Volume:
                try:
                    return self._store.load(namespace, _value(first.volume), pipe.far)
                finally:
                    pipe.close_far()

            work = asyncio.create_task(offload_long(unpack))
            try:
                with suppress(BrokenPipeError):  # the unpacker gave up, and says why
                    await pipe.write(first.data)
                    async for request in requests:
                        await pipe.write(request.data)
                pipe.close_near()
                made = await work
            finally:
                pipe.close_near()
                await _ended(work)
        return pb.ImportResponse(volume=_message(Found(made)))


async def _ended(work: asyncio.Task[object]) -> None:
    """Wait for the thread: it must not work on descriptors that are closed and given out anew."""
    await asyncio.wait([work])
    if not work.cancelled():
        work.exception()


def _value(message: pb.CreateRequest) -> Volume:
    return Volume(message.name, message.driver or LOCAL, dict(message.labels), dict(message.options))


def _message(found: Found) -> pb.Volume:
    volume = found.volume
    message = pb.Volume(
        name=volume.name,
        driver=volume.driver,
        labels=volume.labels,
        options=volume.options,
        mountpoint=volume.mountpoint,
        created_at=to_timestamp(volume.created_at),
        anonymous=volume.anonymous,
        limit=volume.limit.value,
        lost=volume.lost,
        users=[pb.User(container=use.container, target=use.target, readonly=use.readonly) for use in found.users],
    )
    if found.usage is not None:
        message.usage.size, message.usage.inodes = found.usage.size, found.usage.inodes
    return message
