"""The client's side of one ttrpc connection: a state machine without I/O.

`open()`, `send()` and `close_send()` queue bytes that `outgoing()` hands out; `receive()` turns received bytes into
events, each for one of the open streams. What comes for a stream that is over, or was given up, is dropped.
"""

from __future__ import annotations

from pycontainerd.wire.codes import INTERNAL, OK, RESOURCE_EXHAUSTED, RpcError
from pycontainerd.wire.messages.google_rpc import Status
from pycontainerd.wire.messages.ttrpc import KeyValue, Request, Response
from pycontainerd.wire.scalars import DecodeError
from pycontainerd.wire.ttrpc import (
    DATA,
    MAX_PAYLOAD,
    MAX_STREAM_ID,
    NO_DATA,
    REMOTE_CLOSED,
    REMOTE_OPEN,
    REQUEST,
    RESPONSE,
    Frame,
    FrameReader,
    header,
    oversized,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# How a call is opened (the flags of its request).
UNARY = 0
SERVER_STREAM = REMOTE_CLOSED  # one request, the server streams
CLIENT_STREAM = REMOTE_OPEN  # the client streams, and perhaps the server


class Answer:
    """The last message of a call, or its error if `code` is not 0; the stream is over."""

    __slots__ = ("code", "message", "payload", "stream_id")

    def __init__(self, stream_id: int, payload: bytes, code: int = OK, message: str = "") -> None:
        self.stream_id = stream_id
        self.payload = payload
        self.code = code
        self.message = message


class Item:
    """One message of a server that streams."""

    __slots__ = ("payload", "stream_id")

    def __init__(self, stream_id: int, payload: bytes) -> None:
        self.stream_id = stream_id
        self.payload = payload


class End:
    """The server has sent all it had; the stream is over."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


if TYPE_CHECKING:
    Event = Answer | Item | End


class ClientSession:
    """The calls of one connection, and the bytes to be written to it."""

    __slots__ = ("_frames", "_next_id", "_out", "_streams")

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._streams: dict[int, bool] = {}  # stream id -> whether we may still send
        self._next_id = 1
        self._out: list[bytes] = []

    def open(
        self,
        service: str,
        method: str,
        payload: bytes = b"",
        *,
        kind: int = UNARY,
        timeout_ns: int = 0,
        metadata: Iterable[tuple[str, str]] = (),
    ) -> int:
        """Begin a call and return its stream id; raise `RpcError` if the request is too large or ids are used up."""
        stream_id = self._next_id
        if stream_id > MAX_STREAM_ID:
            raise RpcError(RESOURCE_EXHAUSTED, "the connection has used up its stream ids; open another one")
        pairs = [KeyValue(key=key, value=value) for key, value in metadata]
        request = Request(
            service=service, method=method, payload=payload, timeout_nano=timeout_ns, metadata=pairs
        ).encode()
        self._put(stream_id, REQUEST, kind, request)
        self._next_id = stream_id + 2
        self._streams[stream_id] = kind == CLIENT_STREAM
        return stream_id

    def send(self, stream_id: int, payload: bytes) -> None:
        """Send one message; raise `RpcError` if it is too large, ValueError on a stream that we have closed."""
        self._check_open(stream_id)
        self._put(stream_id, DATA, 0, payload)

    def close_send(self, stream_id: int) -> None:
        """Tell the server that nothing more follows; does nothing the second time, or once the stream is over."""
        if self._streams.get(stream_id):
            self._streams[stream_id] = False
            self._put(stream_id, DATA, REMOTE_CLOSED | NO_DATA, b"")

    def forget(self, stream_id: int) -> None:
        """Give up a call: what the server still sends for it is dropped. The server is not told; ttrpc has no way."""
        self._streams.pop(stream_id, None)

    def receive(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        events: list[Event] = []
        for frame in self._frames.feed(data):
            if frame.stream_id in self._streams:
                self._frame(frame, events)
        return events

    def outgoing(self) -> bytes:
        """Everything to be written."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    @property
    def active(self) -> tuple[int, ...]:
        """The ids of the streams that are not over."""
        return tuple(self._streams)

    def _frame(self, frame: Frame, events: list[Event]) -> None:
        stream_id, payload = frame.stream_id, frame.payload
        if payload is None:
            del self._streams[stream_id]
            events.append(Answer(stream_id, b"", RESOURCE_EXHAUSTED, oversized(frame.length)))
        elif frame.kind == RESPONSE:
            del self._streams[stream_id]
            events.append(_answer(stream_id, payload))
        elif frame.kind == DATA:
            if not frame.flags & NO_DATA:
                events.append(Item(stream_id, payload))
            if frame.flags & REMOTE_CLOSED:
                del self._streams[stream_id]
                events.append(End(stream_id))

    def _check_open(self, stream_id: int) -> None:
        if not self._streams.get(stream_id):
            raise ValueError(f"stream {stream_id} is closed for sending")

    def _put(self, stream_id: int, kind: int, flags: int, payload: bytes) -> None:
        if len(payload) > MAX_PAYLOAD:
            raise RpcError(RESOURCE_EXHAUSTED, oversized(len(payload)))
        self._out.append(header(stream_id, kind, flags, len(payload)))
        if payload:
            self._out.append(payload)


def _answer(stream_id: int, payload: bytes) -> Answer:
    try:
        response = Response.decode(payload)
    except DecodeError as error:
        return Answer(stream_id, b"", INTERNAL, f"the answer cannot be read: {error}")
    status = response.status or Status()
    return Answer(stream_id, response.payload, status.code, status.message)
