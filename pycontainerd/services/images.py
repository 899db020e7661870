"""containerd.services.images.v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.images.v1 import images_pb2 as pb
from pycontainerd.core.images import Image
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import from_descriptor, optional_time, require, to_descriptor, to_timestamp

if TYPE_CHECKING:
    from pycontainerd.core.images import ImageStore
    from pycontainerd.rpc.call import Call


class ImagesService(Service):
    """The Images service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Images"]

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    async def Get(self, request: pb.GetImageRequest, call: Call) -> pb.GetImageResponse:
        """One image."""
        return pb.GetImageResponse(image=_message(await offload(self._store.get, call.namespace, request.name)))

    async def List(self, request: pb.ListImagesRequest, call: Call) -> pb.ListImagesResponse:
        """Images that match."""
        images = await offload(self._store.list, call.namespace, tuple(request.filters))
        return pb.ListImagesResponse(images=map(_message, images))

    async def Create(self, request: pb.CreateImageRequest, call: Call) -> pb.CreateImageResponse:
        """Name a target."""
        namespace = call.namespace
        at = optional_time(request, "source_date_epoch")
        image = await offload(self._store.create, namespace, _value(request), at=at, lease=call.lease)
        return pb.CreateImageResponse(image=_message(image))

    async def Update(self, request: pb.UpdateImageRequest, call: Call) -> pb.UpdateImageResponse:
        """Replace the masked fields."""
        namespace = call.namespace
        at = optional_time(request, "source_date_epoch")
        paths = tuple(request.update_mask.paths)
        image = await offload(self._store.update, namespace, _value(request), paths, at=at)
        return pb.UpdateImageResponse(image=_message(image))

    async def Delete(self, request: pb.DeleteImageRequest, call: Call) -> Empty:
        """Delete the name; ``sync`` waits for the collection."""
        target = request.target.digest if request.HasField("target") else ""
        await offload(self._store.delete, call.namespace, request.name, target=target, sync=request.sync)
        return Empty()


def _value(request: pb.CreateImageRequest | pb.UpdateImageRequest) -> Image:
    require(request, "image")
    message = request.image
    # An absent target is an empty one here: the store refuses it wherever a target is needed.
    return Image(message.name, from_descriptor(message.target), dict(message.labels))


def _message(value: Image) -> pb.Image:
    return pb.Image(
        name=value.name,
        labels=value.labels,
        target=to_descriptor(value.target),
        created_at=to_timestamp(value.created_at),
        updated_at=to_timestamp(value.updated_at),
    )
