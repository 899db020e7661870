"""pycontainerd.names.v1: what containers are called (our own)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.names.v1 import names_pb2 as pb
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.containers import container_message
from pycontainerd.services.convert import to_timestamp

if TYPE_CHECKING:
    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.names import NameStore
    from pycontainerd.rpc.call import Call


class NamesService(Service):
    """The Names service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Names"]

    def __init__(self, names: NameStore, containers: ContainerStore) -> None:
        self._names, self._containers = names, containers

    async def Reserve(self, request: pb.ReserveRequest, call: Call) -> pb.ReserveResponse:
        """Take the first free name."""
        name = await offload(self._names.reserve, call.namespace, tuple(request.names), request.container_id)
        return pb.ReserveResponse(name=name)

    async def Release(self, request: pb.ReleaseRequest, call: Call) -> Empty:
        """Give a reservation back."""
        await offload(self._names.release, call.namespace, request.name, request.container_id)
        return Empty()

    async def Resolve(self, request: pb.ResolveRequest, call: Call) -> pb.ResolveResponse:
        """The container that a user means."""
        namespace = call.namespace
        found, name = await offload(self._names.resolve, namespace, request.reference)
        response = pb.ResolveResponse(container_id=found, name=name)
        if request.record:
            response.container.CopyFrom(container_message(await offload(self._containers.get, namespace, found)))
        return response

    async def Rename(self, request: pb.RenameRequest, call: Call) -> pb.RenameResponse:
        """Another name."""
        old = await offload(self._names.rename, call.namespace, request.container_id, request.name)
        return pb.RenameResponse(old=old)

    async def List(self, request: pb.ListNamesRequest, call: Call) -> pb.ListNamesResponse:
        """Names and whose they are."""
        found = await offload(self._names.list, call.namespace, tuple(request.container_ids))
        return pb.ListNamesResponse(
            names=[
                pb.Name(
                    name=each.name,
                    container_id=each.container,
                    reserved_at=to_timestamp(each.reserved_at),
                    bound=each.bound,
                )
                for each in found
            ]
        )
