"""containerd.services.containers.v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containers.v1 import containers_pb2 as pb
from pycontainerd.core.containers import Container
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import from_any_map, optional_any, require, to_any, to_timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.rpc.call import Call


class ContainersService(Service):
    """The Containers service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Containers"]

    def __init__(self, store: ContainerStore, screen: Callable[[str, Container], Container]) -> None:
        """``screen`` looks at every new record and returns what is to be kept of it."""
        self._store, self._screen = store, screen

    async def Get(self, request: pb.GetContainerRequest, call: Call) -> pb.GetContainerResponse:
        """One container record."""
        found = await offload(self._store.get, call.namespace, request.id)
        return pb.GetContainerResponse(container=container_message(found))

    async def List(self, request: pb.ListContainersRequest, call: Call) -> pb.ListContainersResponse:
        """Container records that match."""
        found = await offload(self._store.list, call.namespace, tuple(request.filters))
        return pb.ListContainersResponse(containers=map(container_message, found))

    async def ListStream(self, request: pb.ListContainersRequest, call: Call) -> AsyncIterator[pb.ListContainerMessage]:
        """The same, one record a message."""
        for found in await offload(self._store.list, call.namespace, tuple(request.filters)):
            yield pb.ListContainerMessage(container=container_message(found))

    async def Create(self, request: pb.CreateContainerRequest, call: Call) -> pb.CreateContainerResponse:
        """Make a record."""
        namespace = call.namespace
        require(request, "container")
        made = await offload(self._create, namespace, _value(request.container), call.lease)
        return pb.CreateContainerResponse(container=container_message(made))

    def _create(self, namespace: str, container: Container, lease: str) -> Container:
        return self._store.create(namespace, self._screen(namespace, container), lease=lease)

    async def Update(self, request: pb.UpdateContainerRequest, call: Call) -> pb.UpdateContainerResponse:
        """Replace the masked fields."""
        namespace = call.namespace
        require(request, "container")
        paths = tuple(request.update_mask.paths)
        updated = await offload(self._store.update, namespace, _value(request.container), paths)
        return pb.UpdateContainerResponse(container=container_message(updated))

    async def Delete(self, request: pb.DeleteContainerRequest, call: Call) -> Empty:
        """Delete the record; a task of it is the client's business."""
        await offload(self._store.delete, call.namespace, request.id)
        return Empty()


def _value(message: pb.Container) -> Container:
    return Container(
        id=message.id,
        labels=dict(message.labels),
        image=message.image,
        runtime=message.runtime.name,
        runtime_options=optional_any(message.runtime, "options"),
        spec=optional_any(message, "spec"),
        snapshotter=message.snapshotter,
        snapshot_key=message.snapshot_key,
        extensions=from_any_map(message.extensions),
        sandbox=message.sandbox,
    )


def container_message(value: Container) -> pb.Container:
    """A record as the API has it."""
    message = pb.Container(
        id=value.id,
        labels=value.labels,
        image=value.image,
        runtime=pb.Container.Runtime(name=value.runtime, options=to_any(value.runtime_options)),
        spec=to_any(value.spec),
        snapshotter=value.snapshotter,
        snapshot_key=value.snapshot_key,
        created_at=to_timestamp(value.created_at),
        updated_at=to_timestamp(value.updated_at),
        sandbox=value.sandbox,
    )
    for key, extension in value.extensions.items():
        message.extensions[key].type_url = extension.type_url
        message.extensions[key].value = extension.value
    return message
