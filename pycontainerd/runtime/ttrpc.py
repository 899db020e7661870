"""The daemon's side of ttrpc: one multiplexed connection to a shim, on asyncio.

Unary calls only, which is all a task service has. ttrpc knows no cancel: a caller that goes away leaves its answer to
be dropped, and a deadline is kept on this side as well as sent along.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from pycontainerd.api.ttrpc import ttrpc_pb2
from pycontainerd.core import errors
from pycontainerd.wire import codes, ttrpc

if TYPE_CHECKING:
    from collections.abc import Callable

M = TypeVar("M", bound=Message)

_CLASSES: dict[int, type[errors.PycontainerdError]] = {
    codes.CANCELLED: errors.Cancelled,
    codes.INVALID_ARGUMENT: errors.InvalidArgument,
    codes.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    codes.NOT_FOUND: errors.NotFound,
    codes.ALREADY_EXISTS: errors.AlreadyExists,
    codes.PERMISSION_DENIED: errors.PermissionDenied,
    codes.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    codes.FAILED_PRECONDITION: errors.FailedPrecondition,
    codes.ABORTED: errors.Aborted,
    codes.OUT_OF_RANGE: errors.OutOfRange,
    codes.UNIMPLEMENTED: errors.Unimplemented,
    codes.UNAVAILABLE: errors.Unavailable,
    codes.DATA_LOSS: errors.DataLoss,
    codes.UNAUTHENTICATED: errors.Unauthenticated,
}


def no_traceparent() -> str:
    """The trace context of a daemon that does not trace."""
    return ""


def status_error(code: int, message: str) -> errors.PycontainerdError:
    """The error class of a status code with the shim's own words, less the class text that the class adds again."""
    kind = _CLASSES.get(code, errors.Unknown)
    if kind is errors.FailedPrecondition:
        for special in (errors.Conflict, errors.NotModified):
            if message.endswith(special.text):
                kind = special
    if kind.text:
        message = message.removesuffix(kind.text).removesuffix("context ").removesuffix(": ") or "request"
    return kind(message)


class Connection(asyncio.Protocol):
    """One connection to a ttrpc server. Made by ``connect``.

    ``on_lost`` is called once, in the event loop, when the connection ends for whatever reason but ``close``.
    """

    def __init__(self, namespace: str, traceparent: Callable[[], str] = no_traceparent) -> None:
        self.namespace = namespace
        self.on_lost: Callable[[], None] | None = None
        self._traceparent = traceparent
        self._transport: asyncio.Transport | None = None
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._stream = -1
        self._reader = ttrpc.FrameReader()

    @property
    def closed(self) -> bool:
        """Whether no call can be made any more."""
        return self._transport is None or self._transport.is_closing()

    async def call(
        self, service: str, method: str, request: Message, answer: type[M], *, limit: float | None = None
    ) -> M:
        """Make a unary call with at most ``limit`` seconds for the answer.

        Raises the class of ``core.errors`` that the status names, DeadlineExceeded, ResourceExhausted for a request
        over 4 MiB, and ConnectionError when the connection is or gets lost.
        """
        payload = self._request(service, method, request, limit)
        if self.closed or self._transport is None:
            raise ConnectionResetError(f"{service}/{method}: the connection is closed")
        self._stream += 2
        stream = self._stream
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pending[stream] = future
        self._transport.write(ttrpc.header(stream, ttrpc.REQUEST, 0, len(payload)) + payload)
        try:
            async with asyncio.timeout(limit):
                data = await future
        except TimeoutError:
            raise errors.DeadlineExceeded(method, hint=f"the shim gave no answer within {limit:g} s") from None
        finally:
            self._pending.pop(stream, None)
        return _parse(data, answer)

    def _request(self, service: str, method: str, request: Message, limit: float | None) -> bytes:
        message = ttrpc_pb2.Request(service=service, method=method, payload=request.SerializeToString())
        if limit is not None:
            message.timeout_nano = int(limit * 1e9)
        if self.namespace:
            message.metadata.add(key=ttrpc.NAMESPACE_HEADER, value=self.namespace)
        if context := self._traceparent():
            message.metadata.add(key=ttrpc.TRACE_HEADER, value=context)
        payload: bytes = message.SerializeToString()
        if len(payload) > ttrpc.MAX_PAYLOAD:
            raise errors.ResourceExhausted(method, hint=ttrpc.oversized(len(payload)))
        return payload

    def close(self) -> None:
        """End the connection without calling ``on_lost``; calls in flight fail with ConnectionError."""
        self.on_lost = None
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the shim closed the connection"))
        self._pending.clear()
        lost, self.on_lost = self.on_lost, None
        if lost is not None:
            lost()

    def data_received(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            future = self._pending.get(frame.stream_id)
            if frame.kind != ttrpc.RESPONSE or future is None or future.done():
                continue
            if frame.payload is None:
                future.set_exception(errors.ResourceExhausted("shim answer", hint=ttrpc.oversized(frame.length)))
            else:
                future.set_result(frame.payload)


def _parse(data: bytes, answer: type[M]) -> M:
    response, message = ttrpc_pb2.Response(), answer()
    try:
        response.ParseFromString(data)
        if response.HasField("status") and response.status.code:
            raise status_error(response.status.code, response.status.message)
        message.ParseFromString(response.payload)
    except DecodeError as error:
        raise errors.Unknown("shim answer cannot be decoded") from error
    return message


async def connect(
    path: str, namespace: str, *, limit: float = 5.0, traceparent: Callable[[], str] = no_traceparent
) -> Connection:
    """Connect to a unix socket (``\\0name`` for an abstract one); raises OSError, also after ``limit`` seconds."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limit):
        _, connection = await loop.create_unix_connection(lambda: Connection(namespace, traceparent), path)
    return connection
