"""containerd.services.snapshots.v1: one service in front of every snapshotter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.snapshots.v1 import snapshots_pb2 as pb
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.snapshots import Kind, SnapshotInfo
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import require, to_mounts, to_timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pycontainerd.core.snapshots import Snapshotter
    from pycontainerd.rpc.call import Call

BLOCK = 100
"""Infos in one message of List."""

_KINDS = {Kind.VIEW: pb.VIEW, Kind.ACTIVE: pb.ACTIVE, Kind.COMMITTED: pb.COMMITTED}


class SnapshotsService(Service):
    """The Snapshots service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Snapshots"]

    def __init__(self, snapshotters: Mapping[str, Snapshotter]) -> None:
        self._snapshotters = snapshotters

    async def Prepare(self, request: pb.PrepareSnapshotRequest, call: Call) -> pb.PrepareSnapshotResponse:
        """Make an active snapshot."""
        engine = self._engine(request.snapshotter)
        labels = dict(request.labels)
        mounts = await offload(engine.prepare, call.namespace, request.key, request.parent, labels, lease=call.lease)
        return pb.PrepareSnapshotResponse(mounts=to_mounts(mounts))

    async def View(self, request: pb.ViewSnapshotRequest, call: Call) -> pb.ViewSnapshotResponse:
        """Make a read-only snapshot."""
        engine = self._engine(request.snapshotter)
        labels = dict(request.labels)
        mounts = await offload(engine.view, call.namespace, request.key, request.parent, labels, lease=call.lease)
        return pb.ViewSnapshotResponse(mounts=to_mounts(mounts))

    async def Mounts(self, request: pb.MountsRequest, call: Call) -> pb.MountsResponse:
        """How to mount an active snapshot or a view."""
        engine = self._engine(request.snapshotter)
        return pb.MountsResponse(mounts=to_mounts(await offload(engine.mounts, call.namespace, request.key)))

    async def Commit(self, request: pb.CommitSnapshotRequest, call: Call) -> Empty:
        """Seal an active snapshot under a name."""
        engine = self._engine(request.snapshotter)
        await offload(
            engine.commit,
            call.namespace,
            request.name,
            request.key,
            dict(request.labels),
            parent=request.parent,
            lease=call.lease,
        )
        return Empty()

    async def Remove(self, request: pb.RemoveSnapshotRequest, call: Call) -> Empty:
        """Remove a snapshot without children."""
        await offload(self._engine(request.snapshotter).remove, call.namespace, request.key)
        return Empty()

    async def Stat(self, request: pb.StatSnapshotRequest, call: Call) -> pb.StatSnapshotResponse:
        """One snapshot's record."""
        info = await offload(self._engine(request.snapshotter).stat, call.namespace, request.key)
        return pb.StatSnapshotResponse(info=_message(info))

    async def Update(self, request: pb.UpdateSnapshotRequest, call: Call) -> pb.UpdateSnapshotResponse:
        """Change labels."""
        engine = self._engine(request.snapshotter)
        namespace = call.namespace
        require(request, "info")
        value = SnapshotInfo(request.info.name, labels=dict(request.info.labels))
        info = await offload(engine.update, namespace, value, tuple(request.update_mask.paths))
        return pb.UpdateSnapshotResponse(info=_message(info))

    async def List(self, request: pb.ListSnapshotsRequest, call: Call) -> AsyncIterator[pb.ListSnapshotsResponse]:
        """Records that match, in blocks; a missing namespace is an unmapped error here."""
        engine = self._engine(request.snapshotter)
        namespace, filters = call.unmapped_namespace, tuple(request.filters)
        infos = await offload(lambda: list(engine.list(namespace, filters)))
        for start in range(0, len(infos), BLOCK):
            yield pb.ListSnapshotsResponse(info=map(_message, infos[start : start + BLOCK]))

    async def Usage(self, request: pb.UsageRequest, call: Call) -> pb.UsageResponse:
        """Disk use without the parents."""
        usage = await offload(self._engine(request.snapshotter).usage, call.namespace, request.key)
        return pb.UsageResponse(size=usage.size, inodes=usage.inodes)

    async def Cleanup(self, request: pb.CleanupRequest, call: Call) -> Empty:
        """Reclaim what removals left behind."""
        await offload(self._engine(request.snapshotter).cleanup, call.namespace)
        return Empty()

    def _engine(self, name: str) -> Snapshotter:
        if not name:
            raise InvalidArgument("the request names no snapshotter")
        if name not in self._snapshotters:
            known = ", ".join(sorted(self._snapshotters))
            raise InvalidArgument("snapshotter", name, f"not loaded, there are: {known}")
        return self._snapshotters[name]


def _message(info: SnapshotInfo) -> pb.Info:
    return pb.Info(
        name=info.name,
        parent=info.parent,
        kind=_KINDS[info.kind],
        created_at=to_timestamp(info.created_at),
        updated_at=to_timestamp(info.updated_at),
        labels=info.labels,
    )
