"""The port keeper: a process that holds the sockets of published ports, and serves what the kernel cannot translate.

It outlives the daemon, which finds it again at its socket; it ends when it holds nothing and nobody is connected. The
sockets of one sandbox have a key in common and are closed together. A socket with a target listens: its connections are
passed on to the container's address. All others are merely bound, so that nobody else can be.

The daemon starts it with a listening AF_UNIX, SOCK_SEQPACKET socket, whose number is the last argument. One request is
one datagram with a JSON object; the answer is ``{}``, or ``{"error": text}``:

    {"hold": key, "sockets": [{"name": text, "target": [address, port] or null}, …]}   and as many descriptors
    {"retarget": key, "targets": {name: [address, port]}}
    {"drop": key}                                     sockets and the connections they brought are closed
    {"list": 1}                                       → {"keys": {key: [name, …]}}, in a memory file
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import socket
import struct
import sys
import time
from typing import Any

MAX_MESSAGE = 128 << 10
MAX_SOCKETS = 128
"""Most descriptors in one request (the kernel's limit is 253)."""
CHUNK = 256 << 10
PAUSE = 0.5
"""Seconds without accepting after descriptors ran out."""
_RESET = struct.pack("ii", 1, 0)

Target = tuple[str, int]


class Door:
    """A listening socket and where it leads."""

    def __init__(self, key: str, sock: socket.socket, target: Target) -> None:
        self.key, self.sock, self.target = key, sock, target


class Side:
    """One end of a passed-on connection. ``pending`` waits to be sent to it."""

    def __init__(self, key: str, sock: socket.socket) -> None:
        self.key, self.sock = key, sock
        self.pending = memoryview(b"")
        self.connecting = False
        self.ended = False
        self.closing = False
        self.events = 0
        self.other: Side = self


class Keeper:
    """The loop and all it holds."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._epoll = select.epoll()
        self._held: dict[str, dict[str, socket.socket]] = {}
        self._clients: dict[int, socket.socket] = {}
        self._doors: dict[int, Door] = {}
        self._sides: dict[int, Side] = {}
        self._resume = 0.0
        self._epoll.register(listener, select.EPOLLIN)

    def run(self) -> None:
        """Serve until nothing is held and nobody is connected."""
        served = False
        while not served or self._held or self._clients:
            served = served or bool(self._clients)
            for descriptor, events in self._epoll.poll(self._pause()):
                self._dispatch(descriptor, events)

    def _pause(self) -> float | None:
        if not self._resume:
            return None
        left = self._resume - time.monotonic()
        if left > 0:
            return left
        self._resume = 0.0
        for descriptor in self._doors:
            self._epoll.modify(descriptor, select.EPOLLIN)
        return 0.0

    def _dispatch(self, descriptor: int, events: int) -> None:
        if descriptor == self._listener.fileno():
            client, _ = self._listener.accept()
            self._clients[client.fileno()] = client
            self._epoll.register(client, select.EPOLLIN)
        elif descriptor in self._clients:
            self._request(self._clients[descriptor])
        elif descriptor in self._doors:
            self._accept(self._doors[descriptor])
        elif descriptor in self._sides:
            self._pass(self._sides[descriptor], events)

    # Requests

    def _request(self, client: socket.socket) -> None:
        received: list[int] = []
        try:
            data, received, _, _ = socket.recv_fds(client, MAX_MESSAGE, MAX_SOCKETS)
            if not data:
                raise ConnectionResetError
            answer, memory = self._answer(data, received)
            socket.send_fds(client, [json.dumps(answer).encode()], memory)
            for descriptor in memory:
                os.close(descriptor)
        except OSError:
            del self._clients[client.fileno()]
            self._epoll.unregister(client)
            client.close()
        finally:
            for descriptor in received:
                os.close(descriptor)

    def _answer(self, data: bytes, received: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Act on a request; descriptors that are kept are taken out of ``received``."""
        try:
            request = json.loads(data)
            if "hold" in request:
                self._hold(request["hold"], request["sockets"], received)
            elif "drop" in request:
                self._drop(request["drop"])
            elif "retarget" in request:
                self._retarget(request["retarget"], request["targets"])
            elif "list" in request:
                memory = os.memfd_create("keeper", os.MFD_CLOEXEC)
                names = {key: sorted(sockets) for key, sockets in self._held.items()}
                os.write(memory, json.dumps({"keys": names}).encode())
                return {}, [memory]
            else:
                return {"error": "unknown request"}, []
        except (ValueError, KeyError, TypeError, OSError) as error:
            return {"error": f"{type(error).__name__}: {error}"}, []
        return {}, []

    def _hold(self, key: str, described: list[dict[str, Any]], received: list[int]) -> None:
        if len(described) != len(received):
            raise ValueError(f"{len(described)} sockets are described, {len(received)} came along")
        held = self._held.setdefault(key, {})
        for item in described:
            sock = socket.socket(fileno=received.pop(0))
            if (old := held.pop(item["name"], None)) is not None:
                self._close(old)
            held[item["name"]] = sock
            if item["target"] is not None:
                address, port = item["target"]
                sock.setblocking(False)
                self._doors[sock.fileno()] = Door(key, sock, (address, port))
                self._epoll.register(sock, 0 if self._resume else select.EPOLLIN)

    def _close(self, sock: socket.socket) -> None:
        if self._doors.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)
        sock.close()

    def _drop(self, key: str) -> None:
        for sock in self._held.pop(key, {}).values():
            self._close(sock)
        for descriptor, side in list(self._sides.items()):
            if side.key == key and descriptor in self._sides:
                self._abort(side)

    def _retarget(self, key: str, targets: dict[str, Any]) -> None:
        for name, sock in self._held.get(key, {}).items():
            door = self._doors.get(sock.fileno())
            if door is not None and name in targets:
                address, port = targets[name]
                door.target = (address, port)

    # Connections

    def _accept(self, door: Door) -> None:
        try:
            client, _ = door.sock.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}:
                self._rest()
            return
        try:
            server = socket.socket(socket.AF_INET6 if ":" in door.target[0] else socket.AF_INET)
        except OSError:
            client.close()
            self._rest()
            return
        near, far = Side(door.key, client), Side(door.key, server)
        near.other, far.other = far, near
        for side in (near, far):
            side.sock.setblocking(False)
            side.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sides[side.sock.fileno()] = side
        far.connecting = True
        if server.connect_ex(door.target) not in {0, errno.EINPROGRESS}:
            self._abort(near)
            return
        self._want(near)
        self._want(far)

    def _rest(self) -> None:
        self._resume = time.monotonic() + PAUSE
        for descriptor in self._doors:
            self._epoll.modify(descriptor, 0)

    def _pass(self, side: Side, events: int) -> None:
        try:
            if side.connecting:
                failed = side.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failed:
                    raise OSError(failed, os.strerror(failed))
                side.connecting = False
            if events & (select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR):
                self._flush(side)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not side.other.pending:
                self._read(side)
        except BlockingIOError:
            pass
        except OSError:
            self._abort(side)
            return
        if side.closing and side.other.closing:
            self._forget(side)
            return
        self._want(side)
        self._want(side.other)

    def _read(self, side: Side) -> None:
        if side.ended:
            return
        data = side.sock.recv(CHUNK)
        side.ended = not data
        side.other.pending = memoryview(data)
        if not side.other.connecting:
            self._flush(side.other)

    def _flush(self, side: Side) -> None:
        """Send what is pending; when its source has ended, end this direction too."""
        if side.pending:
            side.pending = side.pending[side.sock.send(side.pending) :]
        if side.other.ended and not side.pending and not side.closing:
            side.closing = True
            side.sock.shutdown(socket.SHUT_WR)

    def _want(self, side: Side) -> None:
        """Listen for what can be acted on: readable when the other side took all, writable when something waits.

        A side that waits for nothing leaves the epoll set, which would report its end for ever.
        """
        events = 0
        if not side.ended and not side.other.pending and not side.connecting:
            events |= select.EPOLLIN
        if side.connecting or side.pending:
            events |= select.EPOLLOUT
        if events == side.events:
            return
        if not side.events:
            self._epoll.register(side.sock, events)
        elif not events:
            self._epoll.unregister(side.sock)
        else:
            self._epoll.modify(side.sock, events)
        side.events = events

    def _abort(self, side: Side) -> None:
        for end in (side, side.other):
            end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._forget(side)

    def _forget(self, side: Side) -> None:
        for end in (side, side.other):
            self._sides.pop(end.sock.fileno(), None)
            end.sock.close()  # closing the only descriptor takes it out of the epoll set


def main() -> None:
    """Serve on the descriptor that the last argument names."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.socket(fileno=int(sys.argv[-1]))
    listener.set_inheritable(False)
    Keeper(listener).run()


if __name__ == "__main__":
    main()
