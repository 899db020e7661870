"""Telling the daemon: events in order with retries, and trace spans without.

One ttrpc connection to the daemon's socket, opened when there is something to say. An event counts as told when it has
been answered; the next one is sent only then, so that the order survives a server that handles requests side by side.
A failure is retried five times with growing pauses, then the event is given up: what must not be lost (exits) is in
the bundle's exit records.
"""

from __future__ import annotations

import _socket
import os

from pycontainerd.wire.codec import DecodeError, Message
from pycontainerd.wire.messages.events_ttrpc import ForwardRequest
from pycontainerd.wire.messages.google import Any, Timestamp
from pycontainerd.wire.messages.traces import ReportRequest, Span
from pycontainerd.wire.messages.ttrpc import Request, Response
from pycontainerd.wire.messages.types import Envelope
from pycontainerd.wire.ttrpc import REQUEST, RESPONSE, FrameReader, header
from shim.children import now
from shim.loop import READ, WRITE, Parked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.log import Log
    from shim.loop import Loop, Timer

QUEUE = 2048
ATTEMPTS = 5
TIMEOUT = 5.0
_EVENTS = "containerd.services.events.ttrpc.v1.Events"
_TRACES = "pycontainerd.traces.v1.Traces"
_UNSENT = 1 << 20


def topic_of(event: Message) -> str:
    """The topic of a task event, from its type."""
    return TOPICS[type(event).__name__]


TOPICS = {
    "TaskCreate": "/tasks/create",
    "TaskStart": "/tasks/start",
    "TaskDelete": "/tasks/delete",
    "TaskExit": "/tasks/exit",
    "TaskOOM": "/tasks/oom",
    "TaskExecAdded": "/tasks/exec-added",
    "TaskExecStarted": "/tasks/exec-started",
    "TaskPaused": "/tasks/paused",
    "TaskResumed": "/tasks/resumed",
    "TaskCheckpointed": "/tasks/checkpointed",
}


class Publisher:
    """The queue and the connection. Without an address everything said is dropped."""

    def __init__(self, loop: Loop, log: Log, address: str, namespace: str) -> None:
        self._loop = loop
        self._log = log
        self._address = address.removeprefix("unix://")
        self._namespace = namespace
        self._queue: list[bytes] = []
        self._socket: _socket.socket | None = None
        self._frames = FrameReader()
        self._unsent = bytearray()
        self._stream = -1
        self._waiting = 0
        self._attempts = 0
        self._timer: Timer | None = None
        self._idle: list[Parked] = []

    def publish(self, event: Message) -> None:
        """Queue a task event with the present time."""
        if not self._address:
            return
        seconds, nanos = now()
        envelope = Envelope(
            timestamp=Timestamp(seconds=seconds, nanos=nanos),
            namespace=self._namespace,
            topic=topic_of(event),
            event=Any(type_url=event.TYPE, value=event.encode()),
        )
        if len(self._queue) >= QUEUE:
            self._log.warn("the daemon takes no events: the oldest is given up")
            del self._queue[1 if self._waiting else 0]
        self._queue.append(ForwardRequest(envelope=envelope).encode())
        if not self._waiting and self._timer is None:
            self._send()

    def report(self, spans: list[Span]) -> None:
        """Send trace spans, once and unanswered; they are lost when the daemon is not there."""
        if self._address and self._connect():
            self._request(_TRACES, "Report", ReportRequest(spans=spans).encode())

    def flushed(self) -> Parked:
        """Set when nothing is queued."""
        parked = Parked()
        if self._queue:
            self._idle.append(parked)
        else:
            parked.set()
        return parked

    def close(self) -> None:
        """Forget everything."""
        self._queue.clear()
        self._stop_timer()
        self._disconnect()

    def _send(self) -> None:
        """Send the oldest event; its answer, a failure or the timer goes on from there."""
        self._stop_timer()
        if not self._queue:
            self._waiting = 0
            idle, self._idle = self._idle, []
            for parked in idle:
                parked.set()
            return
        fresh = self._socket is None
        if not self._connect():
            self._failed("cannot connect")
            return
        self._waiting = self._request(_EVENTS, "Forward", self._queue[0])
        if not self._waiting and not fresh and self._connect():
            self._waiting = self._request(_EVENTS, "Forward", self._queue[0])
        if not self._waiting:
            self._failed("connection lost")
            return
        self._timer = self._loop.later(TIMEOUT, lambda: self._lost("no answer in time"))

    def _request(self, service: str, method: str, payload: bytes) -> int:
        """Write one request; return its stream, 0 when the connection is gone."""
        timeout = int(TIMEOUT * 1e9)
        body = Request(service=service, method=method, payload=payload, timeout_nano=timeout).encode()
        self._stream += 2
        self._unsent += header(self._stream, REQUEST, 0, len(body)) + body
        if len(self._unsent) > _UNSENT:
            self._disconnect()
        return self._stream if self._flush() else 0

    def _flush(self) -> bool:
        if self._socket is None:
            return False
        try:
            del self._unsent[: os.write(self._socket.fileno(), self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._disconnect()
            return False
        self._loop.watch(self._socket.fileno(), READ | WRITE if self._unsent else READ, self._active)
        return True

    def _connect(self) -> bool:
        if self._socket is not None:
            return True
        made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        address = self._address if self._address.startswith("/") else f"\0{self._address}"
        try:
            made.connect(address)
        except OSError:
            made.close()
            return False
        self._socket = made
        self._frames = FrameReader()
        self._unsent.clear()
        self._stream = -1
        self._loop.watch(made.fileno(), READ, self._active)
        return True

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._unsent.clear()

    def _active(self, events: int) -> None:
        if events & WRITE and not self._flush():
            self._lost("connection lost")
            return
        if self._socket is None:
            return
        try:
            data = os.read(self._socket.fileno(), 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost("connection closed")
            return
        for frame in self._frames.feed(data):
            if frame.stream_id == self._waiting and frame.kind == RESPONSE:
                self._answered(frame.payload or b"")

    def _answered(self, payload: bytes) -> None:
        self._waiting = 0
        try:
            status = Response.decode(payload).status
        except DecodeError as error:
            self._failed(str(error))
            return
        if status is not None and status.code:
            self._failed(status.message)
            return
        self._attempts = 0
        self._queue.pop(0)
        self._send()

    def _lost(self, why: str) -> None:
        """The connection broke. One that had idled is opened anew by the next event; a waiting event failed."""
        self._disconnect()
        if self._waiting:
            self._waiting = 0
            self._failed(why)

    def _failed(self, why: str) -> None:
        """Try the oldest event again later, or give it up."""
        self._stop_timer()
        self._waiting = 0
        self._attempts += 1
        if self._attempts > ATTEMPTS:
            self._log.error(f"an event could not be given to the daemon: {why}")
            self._queue.pop(0)
            self._attempts = 0
            self._timer = self._loop.later(0.0, self._send)
            return
        self._timer = self._loop.later(float(self._attempts), self._send)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
