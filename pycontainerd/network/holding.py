"""Published ports on the host: taken by binding sockets, kept by the port keeper (see ``keeper``).

Bound and not listening: the packet filter answers for the port before any socket would. ``SO_REUSEADDR`` is off, so
that nobody with it can bind the same port; it is on for the moment of binding when closing connections are all that is
in the way.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import structlog

from pycontainerd.core.errors import FailedPrecondition, Unavailable
from pycontainerd.core.network import PublishedPort
from pycontainerd.core.ports import ANY6, candidates, display, holder_of, sockets_for
from pycontainerd.linux import process
from pycontainerd.network.client import SOURCE
from pycontainerd.network.keeper import MAX_MESSAGE, MAX_SOCKETS
from pycontainerd.network.listeners import listener
from pycontainerd.network.wire import read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pycontainerd.core.network import PortRequest
    from pycontainerd.core.ports import HostSocket, Target

    Others = Callable[[str, int], Iterable[tuple[str, PublishedPort]]]

_EPHEMERAL_TRIES = 50
_BACKLOG = 512
_LIMIT = 10.0
_NO_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from pycontainerd.network.keeper import main; main()"
_log = structlog.get_logger("network")


class Claim:
    """The ports of one sandbox, bound; closed here once the keeper has its own copies."""

    def __init__(self) -> None:
        self.ports: list[PublishedPort] = []
        self.sockets: list[tuple[HostSocket, socket.socket]] = []

    def close(self) -> None:
        """Close the sockets; the ports stay taken if somebody else has them."""
        for _, sock in self.sockets:
            sock.close()
        self.sockets.clear()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def claim(requests: Sequence[PortRequest], target: Target, others: Others) -> Claim:
    """Bind what is asked for, all or nothing. ``others(proto, port)`` are the ports published already, by name.

    Raises FailedPrecondition naming who has a port, InvalidArgument for an address this host does not have.
    """
    result = Claim()
    try:
        for request in requests:
            _claim_one(result, request, target, others)
    except BaseException:
        result.close()
        raise
    return result


def _claim_one(result: Claim, request: PortRequest, target: Target, others: Others) -> None:
    tried = candidates(request)
    for number in tried or [0] * _EPHEMERAL_TRIES:
        port = PublishedPort(request.proto, request.host_ip, number, request.container_port)
        bound = _bind_all(port, target)
        if bound:
            result.ports.append(PublishedPort(port.proto, port.host_ip, bound[0][0].port, port.container_port))
            result.sockets += bound
            return
    if _published_twice(result, request):
        port = PublishedPort(request.proto, request.host_ip, request.host_port, request.container_port)
        raise FailedPrecondition("host port", display(port), "the container publishes it twice; choose another for one")
    raise _taken(request, others)


def _published_twice(result: Claim, request: PortRequest) -> bool:
    """Whether the one port asked for is among those that the same container has got already."""
    if len(candidates(request)) != 1:
        return False
    port = PublishedPort(request.proto, request.host_ip, request.host_port, request.container_port)
    return bool(holder_of(port, (("itself", other) for other in result.ports)))


def _bind_all(port: PublishedPort, target: Target) -> list[tuple[HostSocket, socket.socket]]:
    """All sockets of a port (0: any), or none when one of them is taken."""
    bound: list[tuple[HostSocket, socket.socket]] = []
    try:
        for wanted in sockets_for(port, target):
            number = bound[0][0].port if bound else wanted.port
            try:
                sock = _bind(wanted, number)
            except OSError as error:
                if bound and error.errno in _NO_FAMILY and wanted.address == ANY6:
                    continue
                raise
            chosen = sock.getsockname()[1]
            bound.append((type(wanted)(wanted.proto, wanted.address, chosen, wanted.target), sock))
    except OSError as error:
        for _, sock in bound:
            sock.close()
        if error.errno == errno.EADDRINUSE:
            return []
        raise _refused(port, error) from error
    return bound


def _refused(port: PublishedPort, error: OSError) -> FailedPrecondition:
    reason = os.strerror(error.errno or 0).lower()
    if error.errno == errno.EADDRNOTAVAIL:
        reason = "this host has no such address"
    return FailedPrecondition("host port", display(port), f"cannot be bound: {reason}")


def _bind(wanted: HostSocket, number: int) -> socket.socket:
    """One socket; raises OSError."""
    try:
        return _bind_once(wanted, number, reuse=wanted.target is not None)
    except OSError as error:
        closing_only = error.errno == errno.EADDRINUSE and wanted.proto == "tcp" and wanted.target is None and number
        if not closing_only or listener("tcp", number) is not None:
            raise
    return _bind_once(wanted, number, reuse=True)


def _bind_once(wanted: HostSocket, number: int, *, reuse: bool) -> socket.socket:
    family = socket.AF_INET6 if wanted.version == 6 else socket.AF_INET
    kind = socket.SOCK_STREAM if wanted.proto == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((wanted.address, number))
        if wanted.target is not None:
            sock.listen(_BACKLOG)
        elif reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # from here on nobody shares the port
    except BaseException:
        sock.close()
        raise
    return sock


def _taken(request: PortRequest, others: Others) -> FailedPrecondition:
    """The error that names who has the port."""
    port = PublishedPort(request.proto, request.host_ip, request.host_port, request.container_port)
    if not request.host_port:
        return FailedPrecondition(
            "host port", hint=f"no {request.proto} port is free on {request.host_ip or 'this host'}"
        )
    if request.host_port_end > request.host_port:
        where = f"{request.host_port}-{request.host_port_end}/{request.proto}"
        return FailedPrecondition("host port range", where, "every port of it is taken; choose another range")
    name = holder_of(port, others(port.proto, port.host_port))
    if name:
        return FailedPrecondition(
            "host port", display(port), f"container {name} publishes it; stop it or choose another"
        )
    found = listener(port.proto, port.host_port)
    who = f"{found} has it" if found else "another program has it"
    return FailedPrecondition("host port", display(port), f"{who}; stop that or choose another port")


class PortHolder:
    """The daemon's connection to the keeper, which is started when there is something to hold.

    ``on_lost`` is called from a thread of its own when the keeper dies under us; whoever gets it holds everything anew.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.on_lost: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False

    def hold(self, key: str, claimed: Claim) -> None:
        """Give a sandbox's sockets to the keeper. Raises Unavailable."""
        described = [
            ({"name": f"{item.address}:{item.port}/{item.proto}", "target": item.target}, sock)
            for item, sock in claimed.sockets
        ]
        for start in range(0, len(described), MAX_SOCKETS):
            part = described[start : start + MAX_SOCKETS]
            request = {"hold": key, "sockets": [item for item, _ in part]}
            self._ask(request, [sock.fileno() for _, sock in part], start=True)

    def retarget(self, key: str, sockets: Iterable[HostSocket]) -> None:
        """Lead the listening sockets of a sandbox elsewhere."""
        targets = {f"{item.address}:{item.port}/{item.proto}": item.target for item in sockets if item.target}
        if targets:
            self._ask({"retarget": key, "targets": targets})

    def drop(self, key: str) -> None:
        """Close a sandbox's sockets; the ports are free when this returns."""
        self._ask({"drop": key})

    def held(self) -> dict[str, list[str]]:
        """What the keeper holds: names of sockets by key; empty when there is no keeper."""
        found: dict[str, list[str]] = self._ask({"list": 1}).get("keys", {})
        return found

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = (), *, start: bool = False) -> dict[str, Any]:
        """One request. Without ``start`` a keeper that is not there holds nothing, which answers everything."""
        with self._lock:
            try:
                if not self._connect(start=start):
                    return {}
                return self._exchange(request, descriptors)
            except OSError as error:
                self._disconnect()
                if not start:
                    return {}
                raise Unavailable("port keeper", hint=f"it died: {error}; retry") from error

    def _exchange(self, request: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
        assert self._socket is not None
        socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
        reply, received, _, _ = socket.recv_fds(self._socket, MAX_MESSAGE, 1)
        if not reply:
            raise ConnectionResetError("end of file")
        if received:
            reply = read_all(received[0])
            os.close(received[0])
        answer: dict[str, Any] = json.loads(reply)
        if "error" in answer:
            raise Unavailable("port keeper", hint=answer["error"])
        return answer

    def _connect(self, *, start: bool) -> bool:
        if self._socket is not None:
            return True
        if self._closed:
            raise Unavailable("port keeper", hint="the daemon is shutting down")
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_MESSAGE)
            client.settimeout(_LIMIT)
            try:
                client.connect(self.path)
            except (FileNotFoundError, ConnectionRefusedError):
                if not start:
                    client.close()
                    return False
                self._launch()
                client.connect(self.path)
        except BaseException:
            client.close()
            raise
        self._socket = client
        threading.Thread(target=self._watch, args=(client, client.fileno()), name="port-keeper", daemon=True).start()
        return True

    def _launch(self) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.bind(self.path)
            os.chmod(self.path, 0o600)
            server.listen(8)
            argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, SOURCE, self.path, str(server.fileno())]
            process.spawn(argv, fds=(server.fileno(),), cwd="/", env={}, new_session=True)

    def _watch(self, client: socket.socket, descriptor: int) -> None:
        """Wait for the end of the connection, without ever reading an answer that is somebody else's."""
        import select

        waiting = select.poll()
        waiting.register(descriptor, select.POLLRDHUP)
        waiting.poll()
        with self._lock:
            lost = self._socket is client
            if lost:
                self._disconnect()
        if lost and not self._closed:
            _log.warning("port keeper died; its ports are taken again")
            self.on_lost()

    def _disconnect(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that watches it
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Let go of the keeper, which goes on holding what it holds."""
        self._closed = True
        with self._lock:
            self._disconnect()
