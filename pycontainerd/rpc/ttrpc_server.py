"""The ttrpc side: every service for the light client, and the Events service that shims report to.

ttrpc has no flow control, no cancel and a limit of 4 MiB a message. So: what a client does not read is bounded (a
stream waits, and no further request is read while the buffer is full), closing the connection is the cancel for all
that runs on it, and clients use a connection of their own for each stream and long wait.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import DecodeError

from pycontainerd.core.errors import Cancelled, InvalidArgument
from pycontainerd.rpc.call import Call, first_values
from pycontainerd.rpc.dispatch import Dispatcher, Failure
from pycontainerd.wire.codes import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED
from pycontainerd.wire.server import Abort, Data, HalfClose, Request, ServerSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from google.protobuf.message import Message

    from pycontainerd.rpc.service import Method

log = structlog.get_logger(__name__)

SOCKET_MODE = 0o660
SEND_BUFFER = 4 << 20
"""Bytes a client may leave unread before its streams wait."""
FLUSH_AT = 64 << 10
"""Bytes of stream messages that are gathered into one write at most."""
INBOX = 64
"""Messages of a client stream that may wait for the handler before reading from the connection stops."""
MAX_CALLS = 1024
"""Calls in flight on one connection."""

_PEERCRED = struct.Struct("3i")


class TtrpcServer:
    """Serves a table of methods on one unix socket."""

    def __init__(self, methods: Mapping[str, Method], dispatcher: Dispatcher) -> None:
        self._methods = methods
        self._services = {method.service for method in methods.values()}
        self._dispatcher = dispatcher
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, path: str, group: int = 0) -> None:
        """Bind ``path`` (0660) and serve. The caller has made sure that nobody else listens there. Raises OSError."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        old = os.umask(0o777 & ~SOCKET_MODE)
        try:
            listener.bind(path)
        except BaseException:
            listener.close()
            raise
        finally:
            os.umask(old)
        root = os.geteuid() == 0
        if root:
            os.chown(path, 0, group)
        allowed = None if group else {0, os.geteuid()}
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self, allowed), sock=listener, backlog=512)

    async def stop(self, grace: float) -> None:
        """Refuse new connections, give running calls ``grace`` seconds, then cut them off."""
        if self._server is None:
            return
        self._server.close()
        running = [task for connection in self._connections for task in connection.tasks.values()]
        if running:
            await asyncio.wait(running, timeout=grace)
        for connection in tuple(self._connections):
            connection.close()
        await asyncio.sleep(0)

    def find(self, service: str, name: str) -> Method:
        """The method. Raises Failure with the text that ttrpc peers give."""
        method = self._methods.get(f"/{service}/{name}")
        if method is None:
            raise Failure(UNIMPLEMENTED, f"method {name}" if service in self._services else f"service {service}")
        return method


class _Connection(asyncio.Protocol):
    """One client connection; ``tasks`` are its running calls by stream id."""

    def __init__(self, server: TtrpcServer, allowed: set[int] | None) -> None:
        self._server, self._allowed = server, allowed
        self._dispatcher = server._dispatcher
        self._session = ServerSession()
        self._inboxes: dict[int, _Inbox] = {}
        self._writable = asyncio.Event()
        self._writable.set()
        self._flush_due = False
        self.tasks: dict[int, asyncio.Task[None]] = {}

    # -- asyncio.Protocol --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        peer: socket.socket = transport.get_extra_info("socket")
        _, uid, _ = _PEERCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
        if self._allowed is not None and uid not in self._allowed:
            log.warning("refused a ttrpc client of another user", uid=uid)
            transport.abort()
            return
        transport.set_write_buffer_limits(SEND_BUFFER)
        self._server._connections.add(self)

    def data_received(self, data: bytes) -> None:
        for event in self._session.receive(data):
            if isinstance(event, Request):
                self._request(event)
            elif isinstance(event, Data):
                if inbox := self._inboxes.get(event.stream_id):
                    inbox.put(event.payload)
            elif isinstance(event, HalfClose):
                if inbox := self._inboxes.get(event.stream_id):
                    inbox.put(None)
            elif isinstance(event, Abort) and (task := self.tasks.get(event.stream_id)):
                task.cancel()
        self._flush()
        self.throttle()

    def pause_writing(self) -> None:
        self._writable.clear()
        self.throttle()

    def resume_writing(self) -> None:
        self._writable.set()
        self.throttle()

    def connection_lost(self, error: Exception | None) -> None:
        self._server._connections.discard(self)
        self._writable.set()
        for task in self.tasks.values():
            task.cancel()

    # -- calls --

    def close(self) -> None:
        """Cancel what runs and close the connection."""
        for task in self.tasks.values():
            task.cancel()
        self._flush()
        self._transport.close()

    def throttle(self) -> None:
        """Read from the client only while it reads from us and its streams are taken in."""
        if self._transport.is_closing():
            return
        ready = self._writable.is_set() and not any(inbox.full for inbox in self._inboxes.values())
        if ready and not self._transport.is_reading():
            self._transport.resume_reading()
        elif not ready and self._transport.is_reading():
            self._transport.pause_reading()

    def _request(self, request: Request) -> None:
        stream = request.stream_id
        try:
            method = self._server.find(request.service, request.method)
            if len(self.tasks) >= MAX_CALLS:
                raise Failure(RESOURCE_EXHAUSTED, f"more than {MAX_CALLS} calls on one connection")
            argument: Message | AsyncIterator[Message]
            if method.client_streaming:
                inbox = self._inboxes[stream] = _Inbox(method.request.FromString, self.throttle)
                if request.payload:
                    inbox.put(request.payload)
                if not request.open:
                    inbox.put(None)
                argument = inbox.messages()
            else:
                argument = method.request.FromString(request.payload)
        except DecodeError as error:
            self._session.fail(stream, INVALID_ARGUMENT, f"cannot decode the request of {request.method}: {error}")
        except Failure as failure:
            self._session.fail(stream, failure.code, failure.message)
        else:
            timeout = request.timeout_ns / 1e9 if request.timeout_ns > 0 else None
            call = Call(method.path, first_values(request.metadata), transport="ttrpc", timeout=timeout)
            work = (
                self._stream(stream, method, argument, call)
                if method.server_streaming
                else (self._unary(stream, method, argument, call))
            )
            self._spawn(stream, work)

    def _spawn(self, stream: int, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self.tasks[stream] = task

        def ended(_: asyncio.Task[None]) -> None:
            self.tasks.pop(stream, None)
            self._inboxes.pop(stream, None)
            self.throttle()

        task.add_done_callback(ended)

    async def _unary(self, stream: int, method: Method, argument: Message | AsyncIterator[Message], call: Call) -> None:
        try:
            response = await self._dispatcher.unary(method, argument, call)
            self._session.respond(stream, response.SerializeToString())
        except Failure as failure:
            self._session.fail(stream, failure.code, failure.message)
        self._flush_soon()

    async def _stream(
        self, stream: int, method: Method, argument: Message | AsyncIterator[Message], call: Call
    ) -> None:
        async def send(message: Message) -> None:
            await self._writable.wait()
            if not self._session.send(stream, message.SerializeToString()):
                raise Cancelled("the client's stream is over")
            # What waits to be flushed is not yet seen by the transport's own limit.
            if self._session.pending >= FLUSH_AT:
                self._flush()
            else:
                self._flush_soon()

        try:
            await self._dispatcher.stream(method, argument, call, send)
            self._session.finish(stream)
        except Failure as failure:
            self._session.fail(stream, failure.code, failure.message)
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Write once per turn of the loop, so that answers that come together leave together."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._session.pending and not self._transport.is_closing():
            self._transport.write(self._session.outgoing())


class _Inbox:
    """Messages of a client stream on their way to the handler."""

    def __init__(self, decode: Callable[[bytes], Message], taken: Callable[[], None]) -> None:
        self._decode, self._taken = decode, taken
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    @property
    def full(self) -> bool:
        """Whether the handler is far behind."""
        return self._queue.qsize() >= INBOX

    def put(self, payload: bytes | None) -> None:
        """Add a message; None is the end."""
        self._queue.put_nowait(payload)

    async def messages(self) -> AsyncIterator[Message]:
        """The messages, until the client has sent all."""
        while (payload := await self._queue.get()) is not None:
            if self._queue.qsize() == INBOX - 1:
                self._taken()
            try:
                yield self._decode(payload)
            except DecodeError as error:
                raise InvalidArgument(f"cannot decode a message of the stream: {error}") from error
