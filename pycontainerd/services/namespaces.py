"""containerd.services.namespaces.v1: needs no namespace header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.namespaces.v1 import namespaces_pb2 as pb
from pycontainerd.core.namespaces import Namespace
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import require

if TYPE_CHECKING:
    from pycontainerd.core.namespaces import NamespaceStore
    from pycontainerd.rpc.call import Call


class NamespacesService(Service):
    """The Namespaces service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Namespaces"]

    def __init__(self, store: NamespaceStore) -> None:
        self._store = store

    async def Get(self, request: pb.GetNamespaceRequest, call: Call) -> pb.GetNamespaceResponse:
        """One namespace; an unknown one answers without labels."""
        return pb.GetNamespaceResponse(namespace=_message(await offload(self._store.get, request.name)))

    async def List(self, request: pb.ListNamespacesRequest, call: Call) -> pb.ListNamespacesResponse:
        """All namespaces."""
        found = await offload(self._store.list, request.filter)
        return pb.ListNamespacesResponse(namespaces=map(_message, found))

    async def Create(self, request: pb.CreateNamespaceRequest, call: Call) -> pb.CreateNamespaceResponse:
        """Make a namespace."""
        require(request, "namespace")
        made = await offload(self._store.create, _value(request.namespace))
        return pb.CreateNamespaceResponse(namespace=_message(made))

    async def Update(self, request: pb.UpdateNamespaceRequest, call: Call) -> pb.UpdateNamespaceResponse:
        """Change labels; the answer is empty, as peers' is."""
        require(request, "namespace")
        await offload(self._store.update, _value(request.namespace), tuple(request.update_mask.paths))
        return pb.UpdateNamespaceResponse()

    async def Delete(self, request: pb.DeleteNamespaceRequest, call: Call) -> Empty:
        """Delete an empty namespace."""
        await offload(self._store.delete, request.name)
        return Empty()


def _value(message: pb.Namespace) -> Namespace:
    return Namespace(message.name, dict(message.labels))


def _message(value: Namespace) -> pb.Namespace:
    return pb.Namespace(name=value.name, labels=value.labels)
