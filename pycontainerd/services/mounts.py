"""containerd.services.mounts.v1: mounts that the kernel alone cannot make, activated under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.mounts.v1 import mounts_pb2 as pb
from pycontainerd.api.types.mount_pb2 import ActivationInfo
from pycontainerd.api.types.mount_pb2 import ActiveMount as ActiveMessage
from pycontainerd.core.mounts import Activation
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import from_mounts, require, to_mounts, to_timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pycontainerd.core.mounts import ActiveMount, MountManager
    from pycontainerd.rpc.call import Call


class MountsService(Service):
    """The Mounts service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Mounts"]

    def __init__(self, manager: MountManager) -> None:
        self._manager = manager

    async def Activate(self, request: pb.ActivateRequest, call: Call) -> pb.ActivateResponse:
        """Make what the caller cannot; plain mounts alone are unimplemented, by design."""
        made = await offload(
            self._manager.activate,
            call.namespace,
            request.name,
            from_mounts(request.mounts),
            dict(request.labels),
            temporary=request.temporary,
            lease=call.lease,
        )
        return pb.ActivateResponse(info=_message(made))

    async def Deactivate(self, request: pb.DeactivateRequest, call: Call) -> Empty:
        """Undo an activation."""
        await offload(self._manager.deactivate, call.namespace, request.name)
        return Empty()

    async def Info(self, request: pb.InfoRequest, call: Call) -> pb.InfoResponse:
        """One activation."""
        return pb.InfoResponse(info=_message(await offload(self._manager.info, call.namespace, request.name)))

    async def Update(self, request: pb.UpdateRequest, call: Call) -> pb.UpdateResponse:
        """Change labels."""
        namespace = call.namespace
        require(request, "info")
        value = Activation(request.info.name, labels=dict(request.info.labels))
        updated = await offload(self._manager.update, namespace, value, tuple(request.update_mask.paths))
        return pb.UpdateResponse(info=_message(updated))

    async def List(self, request: pb.ListRequest, call: Call) -> AsyncIterator[pb.ListMessage]:
        """Activations that match, one a message."""
        namespace, filters = call.namespace, tuple(request.filters)
        for found in await offload(lambda: list(self._manager.list(namespace, filters))):
            yield pb.ListMessage(info=_message(found))


def _message(value: Activation) -> ActivationInfo:
    return ActivationInfo(
        name=value.name,
        active=map(_active, value.active),
        system=to_mounts(value.system),
        labels=value.labels,
    )


def _active(value: ActiveMount) -> ActiveMessage:
    return ActiveMessage(
        mount=to_mounts([value.mount])[0],
        mounted_at=to_timestamp(value.mounted_at),
        mount_point=value.mount_point,
        data=value.data,
    )
