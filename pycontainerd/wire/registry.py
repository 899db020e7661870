"""Messages by name: `Any` values, and the methods of services.

The type URL of containerd is the full message name with no prefix. Others write `type.googleapis.com/` before it, so
that is accepted. Each look-up imports the one module that holds the class.
"""

from __future__ import annotations

from pycontainerd.wire.messages import index
from pycontainerd.wire.messages.google import Any
from pycontainerd.wire.tables import ref_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.codec import Message


class Method:
    """One method of a service: its message classes, and which sides stream."""

    __slots__ = ("client_streaming", "request", "response", "server_streaming")

    def __init__(
        self, request: type[Message], response: type[Message], client_streaming: bool, server_streaming: bool
    ) -> None:
        self.request = request
        self.response = response
        self.client_streaming = client_streaming
        self.server_streaming = server_streaming


def pack_any(message: Message) -> Any:
    """An `Any` that holds the message; raise `EncodeError`."""
    return Any(type_url=message.TYPE, value=message.encode())


def unpack_any(any_: Any) -> Message:
    """The message in an `Any`; raise KeyError for a type that is not ours, `DecodeError` for a damaged value."""
    return message_class(any_.type_url).decode(any_.value)


def message_class(type_url: str) -> type[Message]:
    """The class for a type URL or a full message name; raise KeyError if there is none."""
    return ref_to(index.MESSAGES[type_url.rpartition("/")[2]]).load()


def methods(service: str) -> dict[str, Method]:
    """The methods of a service by its full name; raise KeyError if there is none."""
    module = __import__("pycontainerd.wire.messages." + index.SERVICES[service], None, None, ["*"])
    return {
        name: Method(ref_to(request).load(), ref_to(response).load(), bool(client), bool(server))
        for name, (request, response, client, server) in module.SERVICES[service].items()
    }
