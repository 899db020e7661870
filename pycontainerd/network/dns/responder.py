"""The DNS responder: a process that answers containers' questions, whether the daemon lives or not.

It holds two sockets in each sandbox's network namespace (``opening`` makes them), knows who is called what
(``core.dnszone``), and passes on what it does not know (``upstream``). It outlives the daemon, which finds it again at
its socket; it ends when it holds nothing and nobody is connected, and when nobody can ever reach it any more because
its socket's path has gone or is another's.

The daemon starts it with the path of the host's resolv.conf, the path of its socket, and the number of the descriptor
of that socket (AF_UNIX, SOCK_SEQPACKET, listening). One request is one datagram with a JSON object, or an empty object
and a memory file that holds it; each takes effect as a whole or not at all. The answer is ``{}``, or
``{"error": text}``:

    {"hello": 1}                        → {"version", "pid", "errors", "last_error", "members": {key: life}}
                                          in a memory file
    {"put": key, "member": {…}}         with two descriptors (UDP, TCP) for a sandbox that is not known in this life;
                                          without any for one without a namespace: it has names and asks nothing
    {"drop": key}                       its sockets are closed when the answer comes
    {"keep": [key, …]}                  drop all others
    {"stop": 1}                         end, whatever is held
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys

from pycontainerd.core.dnszone import Zone
from pycontainerd.network.dns.listening import Listener, Responder
from pycontainerd.network.dns.loop import Loop
from pycontainerd.network.dns.upstream import Upstream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
"""What a daemon has to have in common with the responder it finds; it replaces others."""
MAX_MESSAGE = 128 << 10
LOOK_EVERY = 10.0
"""Seconds between looks at the socket's path."""


class Process:
    """The loop and all it holds."""

    def __init__(self, listener: socket.socket, resolv_conf: str, path: str) -> None:
        self._listener, self._path = listener, path
        self._place = _place(path)
        self._loop = Loop()
        self._zone = Zone()
        self._upstream = Upstream(self._loop, resolv_conf)
        self._responder = Responder(self._zone, self._upstream)
        self._listeners: dict[str, Listener] = {}
        self._clients: dict[int, socket.socket] = {}
        self._stopped = False
        self._loop.add(listener.fileno(), self._on_listener)
        self._loop.later(LOOK_EVERY, self._look)

    def run(self) -> None:
        """Serve until nothing is held and nobody is connected."""
        served = False
        while not self._stopped and (not served or self._listeners or self._clients):
            served = served or bool(self._clients)
            self._loop.turn()

    def _look(self) -> None:
        """End when no daemon can find this process."""
        if not self._clients and _place(self._path) != self._place:
            self._stopped = True
        self._loop.later(LOOK_EVERY, self._look)

    def _on_listener(self, _events: int) -> None:
        client, _ = self._listener.accept()
        client.setblocking(False)
        descriptor = client.fileno()
        self._clients[descriptor] = client
        self._loop.add(descriptor, lambda _events: self._on_client(descriptor))

    def _on_client(self, descriptor: int) -> None:
        client = self._clients[descriptor]
        received: list[int] = []
        memory: list[int] = []
        try:
            data, received, _, _ = socket.recv_fds(client, MAX_MESSAGE, 4)
            if not data:
                raise ConnectionResetError
            answer, memory = self._answer(data, received)
            socket.send_fds(client, [json.dumps(answer).encode()], memory)
        except BlockingIOError:
            return
        except OSError:
            del self._clients[descriptor]
            self._loop.remove(descriptor)
            client.close()
        finally:
            for other in received + memory:
                os.close(other)

    def _answer(self, data: bytes, received: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Act on a request; descriptors that are kept are taken out of ``received``."""
        try:
            if data == b"{}" and received:
                large = received.pop(0)
                try:
                    data = os.pread(large, os.fstat(large).st_size, 0)
                finally:
                    os.close(large)
            request = json.loads(data)
            if "put" in request:
                self._put(request["put"], request["member"], received)
            elif "drop" in request:
                self._drop(request["drop"])
            elif "keep" in request:
                for key in self._listeners.keys() - set(request["keep"]):
                    self._drop(key)
            elif "hello" in request:
                return {}, [self._hello()]
            elif "stop" in request:
                self._stopped = True
            else:
                return {"error": "unknown request"}, []
        except (ValueError, KeyError, TypeError, OSError) as error:
            return {"error": f"{type(error).__name__}: {error}"}, []
        return {}, []

    def _put(self, key: str, member: dict[str, Any], received: list[int]) -> None:
        known = self._zone.members.get(key)
        fresh = known is None or known["life"] != member["life"]
        if fresh and member["netns"] and len(received) != 2:
            raise ValueError("a new life comes with two sockets")
        self._zone.put(key, member)
        if not received:
            return
        if (old := self._listeners.pop(key, None)) is not None:
            self._upstream.forget(key)
            old.close()
        udp, tcp = socket.socket(fileno=received.pop(0)), socket.socket(fileno=received.pop(0))
        self._listeners[key] = Listener(self._loop, self._responder, key, udp, tcp)

    def _drop(self, key: str) -> None:
        self._zone.drop(key)
        self._upstream.forget(key)
        if (listener := self._listeners.pop(key, None)) is not None:
            listener.close()

    def _hello(self) -> int:
        """A memory file with the answer, which may be long."""
        members = {key: self._zone.members[key]["life"] for key in self._listeners}
        answer = {"version": VERSION, "pid": os.getpid(), "members": members}
        answer |= {"errors": self._loop.errors, "last_error": self._loop.last_error}
        memory = os.memfd_create("dns", os.MFD_CLOEXEC)
        with open(memory, "wb", closefd=False) as file:
            file.write(json.dumps(answer).encode())
        return memory


def _place(path: str) -> tuple[int, int]:
    """Which file a path names, zeros for none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def main() -> None:
    """Serve on the descriptor that the last argument names."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.socket(fileno=int(sys.argv[-1]))
    listener.set_inheritable(False)
    Process(listener, sys.argv[-3], sys.argv[-2]).run()


if __name__ == "__main__":
    main()
