"""The shim's socket: connections of the daemon, each a ttrpc session, served by the loop."""

from __future__ import annotations

import _socket
import os

from pycontainerd.linux.fds import accept, peer_uid
from pycontainerd.wire.server import Request, ServerSession
from shim.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.codec import Message
    from shim.log import Log
    from shim.loop import Loop
    from shim.service import Serves

BLOCK = 8 << 10
UNSENT = 8 << 20
"""A peer that reads no answers gets no more requests served beyond so many bytes."""


class Connection:
    """One peer."""

    __slots__ = ("_loop", "_owner", "_service", "_session", "_socket", "_unsent")

    def __init__(self, loop: Loop, service: Serves, sock: _socket.socket, owner: Server) -> None:
        self._loop = loop
        self._service = service
        self._socket: _socket.socket | None = sock
        self._session = ServerSession()
        self._unsent: memoryview | None = None
        self._owner = owner
        sock.setblocking(False)
        loop.watch(sock.fileno(), READ, self._active)

    @property
    def busy(self) -> bool:
        """Whether answers are still to be sent."""
        return self._unsent is not None

    def _active(self, events: int) -> None:
        if events & WRITE:
            self._write()
        if self._socket is None or not events & ~WRITE:
            return
        try:
            data = os.read(self._socket.fileno(), BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        for event in self._session.receive(data):
            if isinstance(event, Request):
                self._request(event)
        self._write()

    def _request(self, request: Request) -> None:
        stream = request.stream_id

        def respond(message: Message) -> None:
            self._session.respond(stream, message.encode())
            self._write()

        def fail(code: int, text: str) -> None:
            self._session.fail(stream, code, text)
            self._write()

        self._service.serve(request, respond, fail)

    def _write(self) -> None:
        if self._socket is None:
            return
        if self._unsent is None and not self._session.pending:
            return
        data = self._unsent if self._unsent is not None else memoryview(self._session.outgoing())
        try:
            while data:
                data = data[os.write(self._socket.fileno(), data) :]
                if not data and self._session.pending:
                    data = memoryview(self._session.outgoing())
        except BlockingIOError:
            waiting = READ if len(data) + self._session.pending < UNSENT else 0
            self._unsent = data
            self._loop.watch(self._socket.fileno(), waiting | WRITE, self._active)
            return
        except OSError:
            self.close()
            return
        if self._unsent is not None:
            self._unsent = None
            self._loop.watch(self._socket.fileno(), READ, self._active)

    def close(self) -> None:
        """Forget the peer; what it asked for is still done."""
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._unsent = None
            self._owner.left(self)


class Server:
    """Accepts connections of this user on a listening socket."""

    def __init__(self, loop: Loop, service: Serves, listener: _socket.socket, log: Log) -> None:
        self._loop = loop
        self._service = service
        self._listener: _socket.socket | None = listener
        self._log = log
        self.connections: list[Connection] = []
        listener.setblocking(False)
        loop.watch(listener.fileno(), READ, self._accept)

    def _accept(self, _events: int) -> None:
        if self._listener is None:
            return
        try:
            connection = accept(self._listener)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self._log.error(f"cannot accept a connection: {error}")
            return
        if peer_uid(connection) != os.getuid():
            self._log.warn("refused a connection of another user")
            connection.close()
            return
        self.connections.append(Connection(self._loop, self._service, connection, self))

    def left(self, connection: Connection) -> None:
        """A connection has ended."""
        if connection in self.connections:
            self.connections.remove(connection)

    @property
    def busy(self) -> bool:
        """Whether some peer has not got its answers yet."""
        return any(connection.busy for connection in self.connections)

    def stop_listening(self) -> None:
        """Take no more connections."""
        if self._listener is not None:
            self._loop.unwatch(self._listener.fileno())
            self._listener.close()
            self._listener = None
