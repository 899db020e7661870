"""containerd.services.diff.v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.api.diff.v1 import diff_pb2 as pb
from pycontainerd.rpc.offload import offload_long
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import from_any_map, from_descriptor, from_mounts, require, to_descriptor

if TYPE_CHECKING:
    from pycontainerd.core.diff import Differ
    from pycontainerd.rpc.call import Call


class DiffService(Service):
    """The Diff service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Diff"]

    def __init__(self, differ: Differ) -> None:
        self._differ = differ

    async def Apply(self, request: pb.ApplyRequest, call: Call) -> pb.ApplyResponse:
        """Extract a layer onto mounts; the answer describes the uncompressed tar."""
        namespace = call.namespace
        require(request, "diff")
        applied = await offload_long(
            self._differ.apply,
            namespace,
            from_descriptor(request.diff),
            from_mounts(request.mounts),
            payloads=from_any_map(request.payloads),
            sync=request.sync_fs,
        )
        return pb.ApplyResponse(applied=to_descriptor(applied))

    async def Diff(self, request: pb.DiffRequest, call: Call) -> pb.DiffResponse:
        """Write what ``right`` changed over ``left`` as a layer blob."""
        epoch = request.source_date_epoch.seconds if request.HasField("source_date_epoch") else None
        made = await offload_long(
            self._differ.compare,
            call.namespace,
            from_mounts(request.left),
            from_mounts(request.right),
            media_type=request.media_type,
            ref=request.ref,
            labels=dict(request.labels),
            lease=call.lease,
            source_date_epoch=epoch,
        )
        return pb.DiffResponse(diff=to_descriptor(made))
