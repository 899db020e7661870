"""gRPC stubs made from descriptors, since no generated ones are kept.

    content = Stub(channel, "containerd.services.content.v1.Content", namespace="n")
    content.Info(content_pb2.InfoRequest(digest=d))

Methods take a message (or an iterator of them where the client streams) and return a message (or an iterator).
"""

from __future__ import annotations

import importlib
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory

LIMIT = 16 << 20


def connect(address: str) -> grpc.Channel:
    """A channel to a unix socket, with containerd's limits."""
    options = [("grpc.max_receive_message_length", LIMIT), ("grpc.max_send_message_length", -1)]
    return grpc.insecure_channel(f"unix:{address}", options=options)


class Stub:
    """The methods of one service as attributes; ``metadata`` goes with every call."""

    def __init__(
        self, channel: grpc.Channel, service: str, *, namespace: str = "", metadata: tuple[tuple[str, str], ...] = ()
    ) -> None:
        noun = service.split(".")[2] if service.startswith("containerd.services.") else ""
        if noun:
            importlib.import_module(f"pycontainerd.api.{noun}.v1.{noun}_pb2")
        self._channel = channel
        self._service = descriptor_pool.Default().FindServiceByName(service)
        self.metadata = ((("containerd-namespace", namespace),) if namespace else ()) + metadata

    def __getattr__(self, name: str) -> Any:
        method = self._service.methods_by_name[name]
        kinds = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
        make = getattr(self._channel, "_".join(kinds))
        call = make(
            f"/{self._service.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )

        def invoke(request: Any, **more: Any) -> Any:
            return call(request, metadata=self.metadata, **{"timeout": 30, **more})

        return invoke
