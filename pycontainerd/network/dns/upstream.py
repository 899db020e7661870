"""Passing questions on: to the servers of the host as they are now, or to a container's own.

Every try has a socket of its own (so a port nobody can guess) and an id of its own, and stays open while later ones are
tried: the first useful answer is the one. The host's servers are asked from the host's network namespace, so that those
on its loopback are reached; a container's own servers from the container's.
"""

from __future__ import annotations

import os
import socket

from pycontainerd.core import dnsmessage as dns
from pycontainerd.core import dnsresolv
from pycontainerd.network.dns.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from pycontainerd.network.dns.loop import Loop, Timer

MAX_QUESTIONS = 2048
"""Questions under way at a time, of all sandboxes."""
MAX_EACH = 128
"""Questions under way at a time, of one sandbox."""
TRY_AFTER = 1.5
"""Seconds after which the next server is asked too; a file's ``timeout`` may make it shorter."""
GIVE_UP = 9.0
"""Seconds until a question has failed. Clients give up after five to ten."""
PORT = 53
_MAX_REPLY = 65535
_UNHELPFUL = {dns.SERVFAIL, dns.NOTIMP, dns.REFUSED}


class HostServers:
    """The host's resolv.conf, read again when it is another file than the last time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._conf = dnsresolv.ResolvConf()

    def now(self) -> dnsresolv.ResolvConf:
        """What it says now; a missing file names no servers, one that cannot be read is as it was."""
        try:
            found = os.stat(self._path)
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp != self._stamp:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._conf = dnsresolv.parse(file.read(1 << 16))
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._conf = None, dnsresolv.ResolvConf()
        except OSError:
            pass
        return self._conf


class Question:
    """A client's question that is being passed on. ``reply`` is called once, with a message under the client's id."""

    __slots__ = ("data", "failed", "key", "netns", "pending", "plan", "query", "reply", "step", "tries", "until")

    def __init__(self, key: str, query: dns.Query, data: bytes, reply: Callable[[bytes], None]) -> None:
        self.key, self.query, self.data, self.reply = key, query, data, reply
        self.plan: list[tuple[str, bool]] = []
        self.netns = ""
        self.tries: list[Try] = []
        self.step: Timer | None = None
        self.until: Timer | None = None
        self.pending = True
        self.failed = b""


class Upstream:
    """All questions under way."""

    def __init__(self, loop: Loop, resolv_conf: str = dnsresolv.HOST_FILE) -> None:
        self.loop = loop
        self._host = HostServers(resolv_conf)
        self._open: dict[str, set[Question]] = {}
        self._count = 0
        self._home: Any = None

    def ask(self, question: Question, member: dict[str, Any], *, tcp: bool) -> None:
        """Pass a question on; its ``reply`` may be called before this returns."""
        mine = self._open.setdefault(question.key, set())
        if self._count >= MAX_QUESTIONS or len(mine) >= MAX_EACH:
            question.reply(dns.failure(question.query, question.data, dns.SERVFAIL))
            return
        if member["servers"] is None and not member["forward"]:
            # Without a way out there is no world to ask about; a failure would make clients try again for seconds.
            question.reply(dns.failure(question.query, question.data, dns.NXDOMAIN))
            return
        conf = self._host.now()
        servers: Sequence[str] = conf.servers
        if member["servers"] is not None:
            servers, question.netns = member["servers"], member["netns"]
        rounds = conf.number("attempts", dnsresolv.ATTEMPTS, 5)
        question.plan = [(server, kind) for kind in ((True, False) if tcp else (False,)) for server in servers] * rounds
        pace = min(TRY_AFTER, float(conf.number("timeout", dnsresolv.TIMEOUT, 30)))
        mine.add(question)
        self._count += 1
        question.until = self.loop.later(GIVE_UP, lambda: self._fail(question))
        self._next(question, pace)

    def forget(self, key: str) -> None:
        """Give up the questions of a sandbox that is going; nobody waits for them."""
        for question in list(self._open.pop(key, ())):
            self._finish(question)

    def _next(self, question: Question, pace: float) -> None:
        """Ask the next server, and the one after it if this one takes its time."""
        if question.step is not None:
            question.step.cancel()
        while question.plan:
            server, tcp = question.plan.pop(0)
            try:
                question.tries.append(Try(self, question, self._socket(question, server, tcp=tcp), server, tcp, pace))
            except OSError:
                continue
            question.step = self.loop.later(pace, lambda: self._next(question, pace))
            return
        if all(item.over for item in question.tries):
            self._fail(question)

    def _socket(self, question: Question, server: str, *, tcp: bool) -> socket.socket:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        kind = (socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        if not question.netns:
            return socket.socket(family, kind)
        if self._home is None:
            from pycontainerd.network.namespaces import Home

            self._home = Home()
        with self._home.inside(question.netns):
            return socket.socket(family, kind)

    def tried(self, question: Question, attempt: Try, reply: bytes) -> None:
        """What came of a try: a message, or nothing when it broke off."""
        if not question.pending:
            return
        if reply and dns.code_of(reply) not in _UNHELPFUL:
            question.reply(dns.with_id(reply, question.query.id))
            self._finish(question)
            return
        question.failed = reply or question.failed
        self._next(question, attempt.pace)

    def _fail(self, question: Question) -> None:
        if question.pending:
            failed = question.failed
            question.reply(
                dns.with_id(failed, question.query.id)
                if failed
                else dns.failure(question.query, question.data, dns.SERVFAIL)
            )
            self._finish(question)

    def _finish(self, question: Question) -> None:
        if not question.pending:
            return
        question.pending = False
        self._count -= 1
        mine = self._open.get(question.key)
        if mine is not None:
            mine.discard(question)
            if not mine:
                del self._open[question.key]
        for timer in (question.step, question.until):
            if timer is not None:
                timer.cancel()
        for attempt in question.tries:
            attempt.close()


class Try:
    """One server asked once, over UDP or TCP."""

    __slots__ = ("_buffer", "_id", "_message", "_question", "_sock", "_tcp", "_upstream", "over", "pace")

    def __init__(
        self, upstream: Upstream, question: Question, sock: socket.socket, server: str, tcp: bool, pace: float
    ) -> None:
        """Raises OSError when the server cannot even be asked; the socket is closed then."""
        self._upstream, self._question, self._sock, self._tcp, self.pace = upstream, question, sock, tcp, pace
        self.over = False
        self._id = int.from_bytes(os.urandom(2))
        message = dns.with_id(question.data, self._id)
        self._message = len(message).to_bytes(2) + message if tcp else message
        self._buffer = b""
        try:
            address = socket.getaddrinfo(server, PORT, sock.family, sock.type, flags=socket.AI_NUMERICHOST)[0][4]
            if tcp:
                sock.connect_ex(address)
                upstream.loop.add(sock.fileno(), self._on_tcp, WRITE)
            else:
                sock.connect(address)
                sock.send(self._message)
                upstream.loop.add(sock.fileno(), self._on_udp)
        except OSError:
            sock.close()
            raise

    def close(self) -> None:
        """Stop waiting."""
        if not self.over:
            self.over = True
            self._upstream.loop.remove(self._sock.fileno())
            self._sock.close()

    def _end(self, reply: bytes) -> None:
        self.close()
        self._upstream.tried(self._question, self, reply)

    def _useful(self, reply: bytes) -> bool:
        return dns.answers(reply, self._question.query, self._question.data, self._id)

    def _on_udp(self, _events: int) -> None:
        try:
            reply = self._sock.recv(_MAX_REPLY)
        except BlockingIOError:
            return
        except OSError:
            self._end(b"")
            return
        if self._useful(reply):
            self._end(reply)

    def _on_tcp(self, _events: int) -> None:
        try:
            if self._message:
                self._message = self._message[self._sock.send(self._message) :]
                if not self._message:
                    self._upstream.loop.want(self._sock.fileno(), READ)
                return
            data = self._sock.recv(_MAX_REPLY)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(b"")
            return
        self._buffer += data
        length = int.from_bytes(self._buffer[:2]) if len(self._buffer) >= 2 else _MAX_REPLY
        if len(self._buffer) >= length + 2:
            reply = self._buffer[2 : length + 2]
            self._end(reply if self._useful(reply) else b"")
