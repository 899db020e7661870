"""A blocking ttrpc client on a unix socket: unary calls on one connection, each stream on a connection of its own.

An object serves one thread at a time. ttrpc cannot cancel a call, so closing the connection is the cancel: that is what
happens when a call times out or is interrupted, and the next call connects anew.
"""

from __future__ import annotations

from _socket import AF_UNIX, MSG_PEEK, SOCK_STREAM, socket  # the plain module: `socket` imports enum
from time import monotonic

from pycontainerd.wire.codes import (
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    INTERNAL,
    OK,
    UNAVAILABLE,
    ConnectError,
    ConnectionLost,
    RpcError,
)
from pycontainerd.wire.scalars import DecodeError
from pycontainerd.wire.session import CLIENT_STREAM, SERVER_STREAM, UNARY, Answer, ClientSession, Item
from pycontainerd.wire.ttrpc import LEASE_HEADER, NAMESPACE_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Generic, Self, TypeVar

    from pycontainerd.wire.codec import Message
    from pycontainerd.wire.session import Event

    M = TypeVar("M", bound=Message)
else:
    M = None

    class Generic:
        """Stands in for typing's at run time, which would cost 10 ms to import."""

        __class_getitem__ = classmethod(lambda cls, _parameter: cls)


_CHUNK = 256 * 1024


def socket_path(address: str) -> str:
    """What to connect to for `unix:///path`, `/path`, `@name` or `\\0name` (abstract); raise ValueError otherwise."""
    scheme, separator, rest = address.partition("://")
    path = rest if separator else address
    if separator and scheme not in ("unix", "ttrpc+unix"):
        raise ValueError(f"address {address!r}: only unix sockets are supported, as in unix:///run/example.sock")
    if path.startswith("@"):
        return "\0" + path[1:]
    if not path.startswith(("/", "\0")) or len(path) < 2:
        raise ValueError(f"address {address!r}: give an absolute path, or @name for an abstract socket")
    return path


def shim_address(address: str) -> str:
    """The address a shim reported, as `Client` wants it: without a scheme it is the name of an abstract socket."""
    return address if "://" in address else "@" + address


class Connection:
    """One connected socket with its session; any failure closes it."""

    def __init__(self, address: str, deadline: float | None = None) -> None:
        self.address = address
        self.session = ClientSession()
        self._events: list[Event] = []
        self._socket = socket(AF_UNIX, SOCK_STREAM)
        try:
            self._limit(deadline)
            self._socket.connect(socket_path(address))
        except TimeoutError:
            self._socket.close()
            raise ConnectError(DEADLINE_EXCEEDED, f"cannot connect to {address} in time") from None
        except OSError as error:
            self._socket.close()
            reason = error.strerror or str(error)
            raise ConnectError(UNAVAILABLE, f"cannot connect to {address}: {reason}; does its server run?") from error
        except BaseException:
            self._socket.close()
            raise

    def flush(self, deadline: float | None = None) -> None:
        """Write what the session has queued; raise `RpcError`."""
        try:
            self._limit(deadline)
            self._socket.sendall(self.session.outgoing())
        except TimeoutError:
            self.close()
            raise RpcError(DEADLINE_EXCEEDED, f"{self.address} took no more data in time") from None
        except OSError as error:
            self.poll()
            self.close()
            raise ConnectionLost(UNAVAILABLE, f"the connection to {self.address} broke: {error}") from error
        except BaseException:
            self.close()
            raise

    def poll(self) -> None:
        """Take in what has already arrived, without waiting; what is wrong shows at the next `flush` or `event`."""
        try:
            self._socket.settimeout(0)
            data = self._socket.recv(_CHUNK)
        except OSError:
            return
        self._events += self.session.receive(data)

    def refusal(self) -> RpcError | None:
        """The error with which the server has ended a call, if that has arrived and was not yet taken."""
        for event in self._events:
            if isinstance(event, Answer) and event.code != OK:
                return RpcError(event.code, event.message)
        return None

    def event(self, deadline: float | None = None) -> Event:
        """The next event, in order; raise `RpcError`."""
        while not self._events:
            data = self._receive(deadline)
            if not data:
                self.close()
                raise ConnectionLost(UNAVAILABLE, f"{self.address} closed the connection before it answered")
            self._events = self.session.receive(data)
        return self._events.pop(0)

    def alive(self) -> bool:
        """Whether the peer still holds the other end, as far as can be told without writing."""
        try:
            self._socket.settimeout(0)  # MSG_DONTWAIT would not do: Python itself waits on a socket with a timeout
            return self._socket.recv(1, MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def fileno(self) -> int:
        """The socket's descriptor, for waiting on several things at once; readable when `event` has work to do."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket, which ends every call on it; can be done twice."""
        self._socket.close()

    def _receive(self, deadline: float | None) -> bytes:
        try:
            self._limit(deadline)
            return self._socket.recv(_CHUNK)
        except TimeoutError:
            self.close()
            raise RpcError(DEADLINE_EXCEEDED, f"{self.address} did not answer in time") from None
        except OSError as error:
            self.close()
            raise ConnectionLost(UNAVAILABLE, f"the connection to {self.address} broke: {error}") from error
        except BaseException:
            self.close()
            raise

    def _limit(self, deadline: float | None) -> None:
        if deadline is None:
            self._socket.settimeout(None)
            return
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


class Client:
    """Calls the services behind one address.

    `address`: see `socket_path`. `namespace` and `lease` go along with every call, and so does `metadata`, pairs of
    (lower-case key, value) that may be changed between calls. Nothing is connected before the first call.
    """

    def __init__(
        self, address: str, *, namespace: str = "", lease: str = "", metadata: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.address = address
        self.namespace = namespace
        self.lease = lease
        self.metadata = list(metadata)
        self._connection: Connection | None = None

    def call(
        self, service: str, method: str, request: Message, response_class: type[M], timeout: float | None = None
    ) -> M:
        """One request, one response; raise `RpcError`, DEADLINE_EXCEEDED after `timeout` seconds.

        The time limit covers connecting too, and is passed on to the server.
        """
        payload = request.encode()
        deadline = None if timeout is None else monotonic() + timeout
        connection = self._connect(deadline)
        stream_id = connection.session.open(
            service, method, payload, kind=UNARY, timeout_ns=_nanoseconds(timeout), metadata=self._pairs()
        )
        try:
            connection.flush(deadline)
            event = connection.event(deadline)
        except BaseException:
            self._connection = None
            connection.close()
            raise
        if event.stream_id != stream_id or not isinstance(event, Answer):
            self._connection = None
            connection.close()
            raise RpcError(INTERNAL, f"{self.address} answered {service}/{method} with a stream; it is no unary method")
        return _unpack(event, response_class)

    def stream(
        self,
        service: str,
        method: str,
        request: Message,
        response_class: type[M],
        timeout: float | None = None,
    ) -> Stream[M]:
        """Call a method whose server streams: iterate over the result for its messages, and close it to cancel.

        Returns when the request is sent; `timeout`, if given, is the limit of the whole call.
        """
        payload = request.encode()
        return Stream(self, service, method, response_class, kind=SERVER_STREAM, payload=payload, timeout=timeout)

    def open_stream(
        self, service: str, method: str, response_class: type[M], timeout: float | None = None
    ) -> Stream[M]:
        """Call a method whose client streams, and perhaps its server: `send()`, `close_send()`, `recv()`."""
        return Stream(self, service, method, response_class, kind=CLIENT_STREAM, payload=b"", timeout=timeout)

    def close(self) -> None:
        """Close the connection of the unary calls; streams have their own. The client can still be used."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _connect(self, deadline: float | None) -> Connection:
        connection = self._connection
        # A server that was restarted since the last call is found out here, where trying again is safe.
        if connection is None or not connection.alive():
            self.close()
            connection = self._connection = Connection(self.address, deadline)
        return connection

    def _pairs(self) -> list[tuple[str, str]]:
        pairs = list(self.metadata)
        if self.namespace:
            pairs.append((NAMESPACE_HEADER, self.namespace))
        if self.lease:
            pairs.append((LEASE_HEADER, self.lease))
        return pairs


class Stream(Generic[M]):
    """One streaming call on a connection of its own; made by `Client.stream` and `Client.open_stream`."""

    def __init__(
        self,
        client: Client,
        service: str,
        method: str,
        response_class: type[M],
        *,
        kind: int,
        payload: bytes,
        timeout: float | None,
    ) -> None:
        self._response_class = response_class
        self._deadline = None if timeout is None else monotonic() + timeout
        self._over = False
        self._streamed = False
        self._error: RpcError | None = None
        self._connection = Connection(client.address, self._deadline)
        self._session = self._connection.session
        try:
            self._id = self._session.open(
                service,
                method,
                payload,
                kind=kind,
                timeout_ns=_nanoseconds(timeout),
                metadata=client._pairs(),
            )
            self._connection.flush(self._deadline)
        except BaseException:
            self._connection.close()
            raise

    def send(self, message: Message) -> None:
        """Send one message; raise `RpcError`: the server's error, if it has already ended the call with one."""
        self._check()
        # A server that has refused the call says why; without looking, we would go on to fill its socket.
        self._connection.poll()
        refusal = self._connection.refusal()
        if refusal is not None:
            self._fail(refusal)
            raise refusal
        if self._over or self._id not in self._session.active:
            raise RpcError(FAILED_PRECONDITION, "the call is over; nothing more can be sent on it")
        self._session.send(self._id, message.encode())
        self._flush()

    def close_send(self) -> None:
        """Tell the server that nothing more follows; `recv()` goes on."""
        if not self._over:
            self._session.close_send(self._id)
            self._flush()

    def recv(self, timeout: float | None = None) -> M | None:
        """The next message, or None after the last; raise `RpcError`.

        `timeout` limits this one wait; a stream whose wait timed out is over.
        """
        self._check()
        if self._over:
            return None
        deadline = self._deadline
        if timeout is not None:
            deadline = min(monotonic() + timeout, deadline) if deadline is not None else monotonic() + timeout
        try:
            event = self._connection.event(deadline)
            return self._take(event)
        except RpcError as error:
            self._fail(error)
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the call, whatever its state; the server sees the connection go. Can be done twice."""
        self._over = True
        self._connection.close()

    def __iter__(self) -> Iterator[M]:
        while True:
            message = self.recv()
            if message is None:
                return
            yield message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _take(self, event: Event) -> M | None:
        if isinstance(event, Item):
            self._streamed = True
            return _decode(event.payload, self._response_class)
        self.close()
        if not isinstance(event, Answer):
            return None
        message = _unpack(event, self._response_class)
        # After messages of its own, a server may end with an empty answer that is no message.
        return None if self._streamed and not event.payload else message

    def _flush(self) -> None:
        try:
            self._connection.flush(self._deadline)
        except RpcError as error:
            # The server's reason, if it gave one, is worth more than our broken pipe.
            reason = self._connection.refusal() or error
            self._fail(reason)
            raise reason from None

    def _fail(self, error: RpcError) -> None:
        self._error = error
        self.close()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


def _unpack(answer: Answer, response_class: type[M]) -> M:
    if answer.code != OK:
        raise RpcError(answer.code, answer.message)
    return _decode(answer.payload, response_class)


def _decode(payload: bytes, response_class: type[M]) -> M:
    try:
        return response_class.decode(payload)
    except DecodeError as error:
        raise RpcError(INTERNAL, f"the answer cannot be read: {error}") from error


def _nanoseconds(timeout: float | None) -> int:
    # 0 would mean no limit.
    return 0 if timeout is None else max(1, int(timeout * 1e9))
