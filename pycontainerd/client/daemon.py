"""The daemon seen from outside: calls in one namespace over the ttrpc socket, failures as ``core.errors``."""

from __future__ import annotations

from pycontainerd.client.errors import from_rpc
from pycontainerd.wire.client import Client, Connection
from pycontainerd.wire.codes import INTERNAL, OK, RpcError
from pycontainerd.wire.session import UNARY, Answer
from pycontainerd.wire.ttrpc import NAMESPACE_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Generic, ParamSpec, Self, TypeVar

    from pycontainerd.wire.client import Stream
    from pycontainerd.wire.codec import Message

    M = TypeVar("M", bound=Message)
    P = ParamSpec("P")
    R = TypeVar("R")

    class _Base(Generic[M]):
        """For the checker."""
else:
    M = None

    class _Base:
        """Subscriptable at run time without importing typing."""

        def __class_getitem__(cls, item: object) -> type:
            return cls


class Daemon:
    """One connection for unary calls; every stream has its own. An object serves one thread at a time.

    ``metadata`` goes along with every call and may grow (the trace context does). All methods raise the classes of
    ``core.errors``; Unavailable when nothing listens at the address.
    """

    def __init__(self, address: str, namespace: str, metadata: list[tuple[str, str]] | None = None) -> None:
        self.address, self.namespace = address, namespace
        self._client = Client(address, namespace=namespace)
        if metadata is not None:
            self._client.metadata = metadata

    def call(
        self,
        service: str,
        method: str,
        request: Message,
        response_class: type[M],
        *,
        lease: str = "",
        timeout: float | None = None,
    ) -> M:
        """One request, one answer; what it makes is held by ``lease``, if there is one."""
        self._client.lease = lease
        try:
            return self._client.call(service, method, request, response_class, timeout)
        except RpcError as error:
            raise from_rpc(error) from error
        finally:
            self._client.lease = ""

    def stream(self, service: str, method: str, request: Message, response_class: type[M]) -> Messages[M]:
        """The answers of a server that streams; closing the result cancels."""
        return Messages(_told(self._client.stream, service, method, request, response_class))

    def open_stream(self, service: str, method: str, response_class: type[M]) -> Messages[M]:
        """A stream in both directions."""
        return Messages(_told(self._client.open_stream, service, method, response_class))

    def begin(self, service: str, method: str, request: Message, response_class: type[M]) -> Pending[M]:
        """Send a request on a connection of its own and return at once; poll the result's descriptor for the answer."""
        return Pending(_told(Connection, self.address), self._client, (service, method), request, response_class)

    def another(self) -> Daemon:
        """A second connection to the same place, for a call that takes long or for another thread."""
        return Daemon(self.address, self.namespace, self._client.metadata)

    def close(self) -> None:
        """Close the connection, which also cancels what runs on it. The object can be used again."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _told(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return call(*args, **kwargs)
    except RpcError as error:
        raise from_rpc(error) from error


class Messages(_Base[M]):
    """A stream whose failures are ``core.errors``: iterate, or send and receive."""

    def __init__(self, stream: Stream[M]) -> None:
        self._stream = stream

    def send(self, message: Message) -> None:
        """Send one message."""
        _told(self._stream.send, message)

    def close_send(self) -> None:
        """Say that nothing more follows."""
        _told(self._stream.close_send)

    def recv(self, timeout: float | None = None) -> M | None:
        """The next message, None after the last."""
        return _told(self._stream.recv, timeout)

    def close(self) -> None:
        """End the call."""
        self._stream.close()

    def __iter__(self) -> Iterator[M]:
        while (message := self.recv()) is not None:
            yield message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class Pending(_Base[M]):
    """A call whose answer is not there yet; close it to cancel."""

    def __init__(
        self,
        connection: Connection,
        client: Client,
        method: tuple[str, str],
        request: Message,
        response_class: type[M],
    ) -> None:
        self._connection, self._response_class = connection, response_class
        pairs = [*client.metadata, (NAMESPACE_HEADER, client.namespace)]
        connection.session.open(*method, request.encode(), kind=UNARY, metadata=pairs)
        _told(connection.flush)

    def fileno(self) -> int:
        """Readable when ``result`` will not block for long."""
        return self._connection.fileno()

    def result(self) -> M:
        """The answer; blocks until it is there. Raises what the call raises, Unavailable when the daemon went away."""
        try:
            event = self._connection.event()
            if not isinstance(event, Answer):
                raise RpcError(INTERNAL, "a unary call was answered with a stream")
            if event.code != OK:
                raise RpcError(event.code, event.message)
            return self._response_class.decode(event.payload)
        except RpcError as error:
            raise from_rpc(error) from error
        finally:
            self.close()

    def close(self) -> None:
        """Give up; can be done twice."""
        self._connection.close()
