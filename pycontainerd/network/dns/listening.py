"""A sandbox's two sockets: questions in, over UDP and TCP, answers out."""

from __future__ import annotations

from pycontainerd.core import dnsmessage as dns
from pycontainerd.core.dnszone import TTL
from pycontainerd.network.dns.loop import READ, WRITE
from pycontainerd.network.dns.upstream import Question

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from pycontainerd.core.dnszone import Zone
    from pycontainerd.network.dns.loop import Loop
    from pycontainerd.network.dns.upstream import Upstream

MAX_CONNECTIONS = 64
"""TCP connections of one sandbox at a time."""
MAX_PIPELINED = 16
"""Questions of one connection that wait for answers."""
IDLE = 15.0
"""Seconds a connection may do nothing."""
_BURST = 32
"""Datagrams of one sandbox that are read in one turn of the loop."""
_MAX_MESSAGE = 65535


class Responder:
    """Decides questions: from the zone, or by passing them on."""

    def __init__(self, zone: Zone, upstream: Upstream) -> None:
        self.zone, self.upstream = zone, upstream

    def handle(self, key: str, data: bytes, reply: Callable[[bytes], None], *, tcp: bool) -> None:
        """Answer a message, now or later; what is no question is not answered. Raises dns.Malformed."""
        query = dns.Query(data)
        limit = _MAX_MESSAGE if tcp else query.size
        if query.opcode:
            reply(dns.failure(query, data, dns.NOTIMP))
            return
        found = self.zone.decide(key, query)
        member = self.zone.members.get(key)
        if found is not None:
            reply(dns.answer(query, data, found.code, found.records, ttl=TTL, limit=limit))
        elif member is not None:

            def pass_back(message: bytes) -> None:
                reply(message if len(message) <= limit else dns.cut(message, query))

            self.upstream.ask(Question(key, query, data, pass_back), member, tcp=tcp)


class Listener:
    """The sockets of one sandbox."""

    def __init__(self, loop: Loop, responder: Responder, key: str, udp: socket.socket, tcp: socket.socket) -> None:
        self.key, self.loop, self.responder = key, loop, responder
        self._udp, self._tcp = udp, tcp
        self._connections: set[Connection] = set()
        self._asked: set[tuple[Any, bytes]] = set()
        for sock, handler in ((udp, self._on_datagrams), (tcp, self._on_connections)):
            sock.setblocking(False)
            loop.add(sock.fileno(), handler)

    def close(self) -> None:
        """Close everything; answers that come later go nowhere."""
        for connection in list(self._connections):
            connection.close()
        for sock in (self._udp, self._tcp):
            self.loop.remove(sock.fileno())
            sock.close()

    def _on_datagrams(self, _events: int) -> None:
        for _ in range(_BURST):
            try:
                data, sender = self._udp.recvfrom(dns.MAX_UDP)
            except OSError:
                return
            self._datagram(data, sender)

    def _datagram(self, data: bytes, sender: Any) -> None:
        """Clients repeat what is not answered at once: a question that is under way is not passed on twice."""
        asked = (sender, data)
        if asked in self._asked:
            return

        def reply(message: bytes) -> None:
            self._asked.discard(asked)
            try:
                self._udp.sendto(message, sender)
            except OSError:
                pass  # a full buffer, or nobody there any more: the client asks again, or is gone

        self._asked.add(asked)
        try:
            self.responder.handle(self.key, data, reply, tcp=False)
        except dns.Malformed:
            self._asked.discard(asked)

    def _on_connections(self, _events: int) -> None:
        try:
            sock, _ = self._tcp.accept()
        except OSError:
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            sock.close()
            return
        self._connections.add(Connection(self, sock))

    def gone(self, connection: Connection) -> None:
        """A connection has been closed."""
        self._connections.discard(connection)


class Connection:
    """A client's TCP connection: messages with two bytes of length in front, answered in any order."""

    def __init__(self, owner: Listener, sock: socket.socket) -> None:
        self._owner, self._sock, self._loop = owner, sock, owner.loop
        self._in, self._out = b"", b""
        self._waiting = 0
        self._taking = False
        self._ended = False
        self._closed = False
        self._events = READ
        sock.setblocking(False)
        self._loop.add(sock.fileno(), self._on_events)
        self._timer = self._loop.later(IDLE, self.close)

    def close(self) -> None:
        """Close it, whatever is under way."""
        if not self._closed:
            self._closed = True
            self._timer.cancel()
            if self._events:
                self._loop.remove(self._sock.fileno())
            self._sock.close()
            self._owner.gone(self)

    def _on_events(self, events: int) -> None:
        try:
            if events & WRITE:
                self._flush()
            if events & ~WRITE and not self._ended:
                data = self._sock.recv(_MAX_MESSAGE)
                self._ended = not data
                self._in += data
                self._alive()
            self._take()
            self._settle()
        except BlockingIOError:
            pass
        except (OSError, dns.Malformed):
            self.close()

    def _alive(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.later(IDLE, self.close)

    def _take(self) -> None:
        """Handle the whole messages that are there, as far as there may be questions under way."""
        if self._taking:
            return  # an answer that was there at once
        self._taking = True
        try:
            self._take_all()
        finally:
            self._taking = False

    def _take_all(self) -> None:
        while len(self._in) >= 2 and self._waiting < MAX_PIPELINED and not self._closed:
            length = int.from_bytes(self._in[:2])
            if len(self._in) < length + 2:
                return
            message, self._in = self._in[2 : length + 2], self._in[length + 2 :]
            self._waiting += 1
            self._owner.responder.handle(self._owner.key, message, self._reply, tcp=True)

    def _reply(self, message: bytes) -> None:
        if self._closed:
            return
        self._waiting -= 1
        self._out += len(message).to_bytes(2) + message
        try:
            self._flush()
            self._take()
            self._settle()
        except (OSError, dns.Malformed):
            self.close()

    def _flush(self) -> None:
        if self._out:
            try:
                self._out = self._out[self._sock.send(self._out) :]
            except BlockingIOError:
                pass

    def _settle(self) -> None:
        """Watch for what can be acted on; close when the client has ended and has all its answers."""
        if self._closed:
            return
        if self._ended and not self._waiting and not self._out:
            self.close()
            return
        events = WRITE if self._out else 0
        if not self._ended and self._waiting < MAX_PIPELINED and len(self._out) < _MAX_MESSAGE:
            events |= READ
        if events == self._events:
            return
        if not events:
            self._loop.remove(self._sock.fileno())
        elif not self._events:
            self._loop.add(self._sock.fileno(), self._on_events, events)
        else:
            self._loop.want(self._sock.fileno(), events)
        self._events = events
