"""The server's side of one ttrpc connection: a state machine without I/O.

The owner of the socket passes received bytes to `receive()`, acts on the events it returns, answers through
`respond()`, `fail()`, `send()` and `finish()`, and writes what `outgoing()` hands out; `pending` says how much is
waiting, because ttrpc has no flow control and the owner must set the limit.

- A unary method is answered with one `respond()` or `fail()`.
- A method whose client streams gets `Data` events and one `HalfClose`; it ends with `respond()` as well.
- A method whose server streams calls `send()` any number of times, and ends with `finish()` or `fail()`.

An answer ends its stream. Answers for streams that are over are dropped: the peer no longer waits for them.
"""

from __future__ import annotations

from pycontainerd.wire.codes import INVALID_ARGUMENT, RESOURCE_EXHAUSTED
from pycontainerd.wire.messages.google_rpc import Status
from pycontainerd.wire.messages.ttrpc import Request as WireRequest
from pycontainerd.wire.messages.ttrpc import Response as WireResponse
from pycontainerd.wire.scalars import DecodeError
from pycontainerd.wire.ttrpc import (
    DATA,
    MAX_PAYLOAD,
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

_OPEN, _HALF_CLOSED, _UNARY = 1, 2, 3  # what the client may still send on a stream


class Request:
    """A new call.

    `timeout_ns` is 0 for none; `metadata` holds (key, value) pairs, keys in lower case and possibly repeated.
    `open` tells that the client may send more: `Data` and a `HalfClose` will follow. `payload` is the request message;
    for a method whose client streams it is the first message if not empty.
    """

    __slots__ = ("metadata", "method", "open", "payload", "service", "stream_id", "timeout_ns")

    def __init__(self, stream_id: int, wire: WireRequest, open_: bool) -> None:
        self.stream_id = stream_id
        self.service = wire.service
        self.method = wire.method
        self.payload = wire.payload
        self.timeout_ns = wire.timeout_nano
        self.metadata = [(pair.key, pair.value) for pair in wire.metadata]
        self.open = open_

    def first(self, key: str) -> str:
        """The first value of a metadata key, or the empty string."""
        for name, value in self.metadata:
            if name == key:
                return value
        return ""


class Data:
    """A further message from the client."""

    __slots__ = ("payload", "stream_id")

    def __init__(self, stream_id: int, payload: bytes) -> None:
        self.stream_id = stream_id
        self.payload = payload


class HalfClose:
    """The client sends nothing more on this stream."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


class Abort:
    """The client broke the rules on this stream; it has been told, and the handler may stop."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


if TYPE_CHECKING:
    Event = Request | Data | HalfClose | Abort


class ServerSession:
    """The streams of one connection, and the bytes to be written to it."""

    __slots__ = ("_frames", "_last_id", "_out", "_streams", "pending")

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._streams: dict[int, int] = {}
        self._last_id = 0
        self._out: list[bytes] = []
        self.pending = 0

    @property
    def active(self) -> int:
        """How many calls have not been answered."""
        return len(self._streams)

    def receive(self, data: bytes) -> list[Event]:
        """The events that these bytes complete; what they break is answered here."""
        events: list[Event] = []
        for frame in self._frames.feed(data):
            self._frame(frame, events)
        return events

    def respond(self, stream_id: int, payload: bytes) -> bool:
        """Answer a call whose server does not stream; False if nobody waits for it any more."""
        if stream_id not in self._streams:
            return False
        data = WireResponse(payload=payload).encode()
        if len(data) > MAX_PAYLOAD:
            return self.fail(stream_id, RESOURCE_EXHAUSTED, oversized(len(data)))
        del self._streams[stream_id]
        self._put(stream_id, RESPONSE, 0, data)
        return True

    def fail(self, stream_id: int, code: int, message: str) -> bool:
        """Answer any call with an error; False if nobody waits for it any more."""
        if self._streams.pop(stream_id, None) is None:
            return False
        self._put_error(stream_id, code, message)
        return True

    def send(self, stream_id: int, payload: bytes) -> bool:
        """Send one message of a call whose server streams; False if nobody waits for it any more.

        One that is too large ends the call with RESOURCE_EXHAUSTED and counts as not sent.
        """
        if stream_id not in self._streams:
            return False
        if len(payload) > MAX_PAYLOAD:
            self.fail(stream_id, RESOURCE_EXHAUSTED, oversized(len(payload)))
            return False
        self._put(stream_id, DATA, 0, payload)
        return True

    def finish(self, stream_id: int) -> bool:
        """End a call whose server streams; False if nobody waits for it any more."""
        if self._streams.pop(stream_id, None) is None:
            return False
        self._put(stream_id, DATA, REMOTE_CLOSED | NO_DATA, b"")
        return True

    def outgoing(self) -> bytes:
        """Everything to be written, which is then no longer pending."""
        out = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self.pending = 0
        return out

    def _frame(self, frame: Frame, events: list[Event]) -> None:
        if frame.payload is None:
            self._reject(frame.stream_id, events, RESOURCE_EXHAUSTED, oversized(frame.length))
            if frame.kind == REQUEST:
                self._last_id = max(self._last_id, frame.stream_id)
        elif frame.stream_id % 2 != 1:
            self._put_error(frame.stream_id, INVALID_ARGUMENT, "StreamID must be odd for client initiated streams")
        elif frame.kind == REQUEST:
            self._request(frame, frame.payload, events)
        elif frame.kind == DATA:
            self._data(frame, frame.payload, events)
        # Any other type is for a later version of the protocol.

    def _request(self, frame: Frame, payload: bytes, events: list[Event]) -> None:
        stream_id = frame.stream_id
        if stream_id <= self._last_id:
            text = "StreamID cannot be reused and must increment"
            self._put_error(stream_id, INVALID_ARGUMENT, text)
            return
        self._last_id = stream_id
        try:
            wire = WireRequest.decode(payload)
        except DecodeError as error:
            self._put_error(stream_id, INVALID_ARGUMENT, f"unmarshal request error: {error}")
            return
        open_ = bool(frame.flags & REMOTE_OPEN)
        self._streams[stream_id] = _OPEN if open_ else _HALF_CLOSED if frame.flags & REMOTE_CLOSED else _UNARY
        events.append(Request(stream_id, wire, open_))

    def _data(self, frame: Frame, payload: bytes, events: list[Event]) -> None:
        stream_id = frame.stream_id
        state = self._streams.get(stream_id)
        closing = frame.flags & REMOTE_CLOSED
        if state is None:
            # A half-close that crosses our answer is no mistake.
            if not closing or stream_id > self._last_id:
                self._put_error(stream_id, INVALID_ARGUMENT, "StreamID is no longer active")
        elif state != _OPEN:
            self._reject(stream_id, events, INVALID_ARGUMENT, "data handling error: the stream takes no more data")
        elif closing and payload:
            self._reject(stream_id, events, INVALID_ARGUMENT, "data close message cannot include data")
        else:
            if not (closing or frame.flags & NO_DATA):
                events.append(Data(stream_id, payload))
            if closing:
                self._streams[stream_id] = _HALF_CLOSED
                events.append(HalfClose(stream_id))

    def _reject(self, stream_id: int, events: list[Event], code: int, message: str) -> None:
        if self._streams.pop(stream_id, None) is not None:
            events.append(Abort(stream_id))
        self._put_error(stream_id, code, message)

    def _put_error(self, stream_id: int, code: int, message: str) -> None:
        # The error itself must fit in a frame, and file names can hold what UTF-8 cannot.
        text = message[:65536].encode(errors="backslashreplace").decode()
        status = Status(code=code, message=text)
        self._put(stream_id, RESPONSE, 0, WireResponse(status=status).encode())

    def _put(self, stream_id: int, kind: int, flags: int, payload: bytes) -> None:
        head = header(stream_id, kind, flags, len(payload))
        self._out.append(head)
        if payload:
            self._out.append(payload)
        self.pending += len(head) + len(payload)
