"""containerd.services.leases.v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.leases.v1 import leases_pb2 as pb
from pycontainerd.core.leases import LeaseResource
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import require, to_timestamp

if TYPE_CHECKING:
    from pycontainerd.core.leases import Lease, LeaseStore
    from pycontainerd.rpc.call import Call


class LeasesService(Service):
    """The Leases service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Leases"]

    def __init__(self, store: LeaseStore) -> None:
        self._store = store

    async def Create(self, request: pb.CreateRequest, call: Call) -> pb.CreateResponse:
        """Make a lease; an empty id gets a random one."""
        lease = await offload(self._store.create, call.namespace, request.id, dict(request.labels))
        return pb.CreateResponse(lease=_message(lease))

    async def Delete(self, request: pb.DeleteRequest, call: Call) -> Empty:
        """Drop a lease; ``sync`` waits for the collection."""
        await offload(self._store.delete, call.namespace, request.id, sync=request.sync)
        return Empty()

    async def List(self, request: pb.ListRequest, call: Call) -> pb.ListResponse:
        """Leases that match."""
        leases = await offload(self._store.list, call.namespace, tuple(request.filters))
        return pb.ListResponse(leases=map(_message, leases))

    async def AddResource(self, request: pb.AddResourceRequest, call: Call) -> Empty:
        """Put a resource under the lease."""
        namespace = call.namespace
        require(request, "resource")
        await offload(self._store.add_resource, namespace, request.id, _resource(request.resource))
        return Empty()

    async def DeleteResource(self, request: pb.DeleteResourceRequest, call: Call) -> Empty:
        """Take a resource out of the lease."""
        namespace = call.namespace
        require(request, "resource")
        await offload(self._store.delete_resource, namespace, request.id, _resource(request.resource))
        return Empty()

    async def ListResources(self, request: pb.ListResourcesRequest, call: Call) -> pb.ListResourcesResponse:
        """What a lease holds."""
        held = await offload(self._store.list_resources, call.namespace, request.id)
        return pb.ListResourcesResponse(resources=[pb.Resource(id=item.id, type=item.type) for item in held])


def _resource(message: pb.Resource) -> LeaseResource:
    return LeaseResource(message.type, message.id)


def _message(value: Lease) -> pb.Lease:
    return pb.Lease(id=value.id, created_at=to_timestamp(value.created_at), labels=value.labels)
