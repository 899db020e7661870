"""What a service is: a class that names its descriptor and has one method per RPC, named as the RPC.

``SERVICE = version_pb2.DESCRIPTOR.services_by_name["Version"]`` and, by the kind of the RPC::

    async def Unary(self, request, call) -> Response
    async def ServerStream(self, request, call) -> AsyncIterator[Response]      # an async generator
    async def ClientStream(self, requests, call) -> Response                    # requests: async iterator
    async def Bidi(self, requests, call) -> AsyncIterator[Response]

``methods()`` turns that into the table both transports serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import message_factory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message

    from pycontainerd.rpc.call import Call


class Service:
    """Base of all services; ``SERVICE`` is the descriptor the class implements."""

    SERVICE: ServiceDescriptor


class Method:
    """One RPC: its full name (``/package.Service/Method``), message classes, stream kinds and handler."""

    __slots__ = ("client_streaming", "handler", "name", "path", "request", "response", "server_streaming", "service")

    def __init__(self, descriptor: MethodDescriptor, handler: Callable[[Any, Call], Any]) -> None:
        self.service = descriptor.containing_service.full_name
        self.name = descriptor.name
        self.path = f"/{self.service}/{self.name}"
        self.request: type[Message] = message_factory.GetMessageClass(descriptor.input_type)
        self.response: type[Message] = message_factory.GetMessageClass(descriptor.output_type)
        self.client_streaming: bool = descriptor.client_streaming
        self.server_streaming: bool = descriptor.server_streaming
        self.handler = handler

    @property
    def streaming(self) -> bool:
        """Whether either side may send more than one message."""
        return self.client_streaming or self.server_streaming


def methods(services: Iterable[Service]) -> dict[str, Method]:
    """Every RPC of ``services`` by path. Raises TypeError when a class lacks one: that is a bug, found at start."""
    table: dict[str, Method] = {}
    for service in services:
        for descriptor in service.SERVICE.methods:
            handler = getattr(service, descriptor.name, None)
            if handler is None:
                raise TypeError(f"{type(service).__name__} does not implement {descriptor.full_name}")
            method = Method(descriptor, handler)
            table[method.path] = method
    return table
