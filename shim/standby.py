"""The next shim, forked before anybody asks for it.

Forking takes longer than all the rest of a shim's birth, so one process is always ready: what a template forks is a
standby, which has already dropped what is not its own and has built what every shim is built of. It waits for the next
request on the template's own socket, says so through a pipe as soon as it has it, which makes the template fork the one
after it, and turns into the shim that was asked for.

A standby ends when the daemon does (end of file on the socket), and when its template does: of a second pipe it holds
the reading end, and only the template the writing one. So nobody who asks is ever answered by a template's ghost.
"""

from __future__ import annotations

import _socket
import os
import select

from pycontainerd.linux import fds
from pycontainerd.linux.sealed import Sealed
from pycontainerd.wire.codes import RpcError
from shim.fork import become, undress
from shim.jsontext import dumps, loads
from shim.main import Embryo, run
from shim.request import ShimRequest
from shim.runtime import default_binary
from shim.sockets import MESSAGE, listen, unlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_PATIENCE = 5.0
_TAKEN = b"+"


class Source:
    """Where requests come from: a connected socket of datagrams, or, `shared`, one that accepts connections.

    `idle`: milliseconds without a request after which a shared one is not waited at any longer.
    """

    __slots__ = ("default_runtime", "idle", "shared", "socket")

    def __init__(self, socket: _socket.socket, default_runtime: str, idle: int | None) -> None:
        self.socket = socket
        self.shared = idle is not None
        self.idle = idle
        self.default_runtime = default_runtime


def serve(source: Source) -> None:
    """Keep one standby until the other end is closed, or nothing has come for as long as the source allows.

    Nothing may happen here between two forks that is not needed: what the template writes to stops being shared with
    the shims forked before.
    """
    lifeline, _held = os.pipe()
    while True:
        taken, ours = os.pipe()
        pid = _fork()
        if pid == 0:
            _between(source, (lifeline, ours), (taken, _held))
        os.close(ours)
        if pid < 0 or os.waitpid(pid, 0)[1]:
            os.close(taken)
            if not _refuse(source):
                return
            continue
        more = os.read(taken, 1)
        os.close(taken)
        if not more:
            return


def _fork() -> int:
    """As fork(2), -1 when there cannot be another process."""
    try:
        return os.fork()
    except OSError:
        return -1


def _between(source: Source, pipes: tuple[int, int], templates: tuple[int, int]) -> NoReturn:
    """The process between, which leaves the standby to be nobody's child, in a session that it does not lead."""
    status = 1
    try:
        os.setsid()
        pid = _fork()
        if pid == 0:
            for end in templates:
                os.close(end)
            _standby(source, *pipes)
        status = 1 if pid < 0 else 0
    finally:
        os._exit(status)


def _refuse(source: Source) -> bool:
    """There can be no standby: wait for the next request and say so; False at the end."""
    poll = select.poll()
    poll.register(source.socket.fileno(), select.POLLIN)
    if not poll.poll(source.idle):
        return False
    control = _accept(source.socket) if source.shared else source.socket
    if control is None:
        return True
    data, descriptors = _receive(control)
    for fd in descriptors:
        os.close(fd)
    if data:
        Birth(control, "").refuse(data, OSError("cannot fork a shim: there are too many processes"))
    return bool(data) or source.shared


def _standby(source: Source, lifeline: int, taken: int) -> NoReturn:
    status = 1
    try:
        undress((source.socket.fileno(), lifeline, taken))
        embryo = Embryo()
        poll = select.poll()
        poll.register(source.socket.fileno(), select.POLLIN)
        poll.register(lifeline, select.POLLIN)
        ready = poll.poll(source.idle)
        if len(ready) == 1 and ready[0][0] != lifeline:
            _wake(source, embryo, lifeline, taken)
        status = 0
    finally:
        os._exit(status)


def _wake(source: Source, embryo: Embryo, lifeline: int, taken: int) -> None:
    """There is something to read: take it, let the next standby be forked, and live."""
    control: _socket.socket | None = source.socket
    if source.shared:
        # the peer may take its time to speak, so the next one must not have to wait for it
        control = _accept(source.socket)
        os.write(taken, _TAKEN)
        source.socket.close()
        if control is None:
            return
    assert control is not None
    data, descriptors = _receive(control)
    if not data:
        return
    if not source.shared:
        os.write(taken, _TAKEN)
    os.close(taken)
    os.close(lifeline)
    Birth(control, source.default_runtime).live(embryo, data, descriptors)


def _accept(listener: _socket.socket) -> _socket.socket | None:
    """The next connection to a shared template, None when its peer is of another user, or has gone."""
    try:
        connection = fds.accept(listener)
    except OSError:
        return None
    if fds.peer_uid(connection) != os.getuid():
        connection.close()
        return None
    connection.settimeout(_PATIENCE)
    return connection


def _receive(control: _socket.socket) -> tuple[bytes, list[int]]:
    """One datagram with its descriptors; nothing at the end of the file."""
    try:
        return fds.receive_fds(control, MESSAGE, 2)
    except (ConnectionResetError, TimeoutError):
        return b"", []


class Birth:
    """What a standby does once it is asked: understand the request, become it, and reply."""

    def __init__(self, control: _socket.socket, default_runtime: str) -> None:
        self._control = control
        self._default_runtime = default_runtime

    def live(self, embryo: Embryo, data: bytes, descriptors: list[int]) -> None:
        """Be the shim that the datagram asks for, until its end."""
        born = self._born(data, descriptors)
        if born is not None:
            run(embryo, *born)

    def refuse(self, data: bytes, error: Exception) -> None:
        """Reply that there is no shim for this request, and why."""
        seq: object = None
        try:
            fields = loads(data)
            seq = fields.get("seq") if isinstance(fields, dict) else None
        except ValueError:
            pass
        self._control.send(dumps({"seq": seq, "error": str(error)}).encode())

    def _born(self, data: bytes, descriptors: list[int]) -> tuple[ShimRequest, _socket.socket, Sealed | None] | None:
        """The request and what came with it, once the daemon has been told; None when it was told of an error."""
        try:
            fields = loads(data)
            if not isinstance(fields, dict):
                raise ValueError("template request: not a JSON object")
            born = self._become(ShimRequest(fields), descriptors)
        except (ValueError, OSError, RpcError) as error:
            self.refuse(data, error)
            return None
        self._control.send(dumps({"seq": fields.get("seq"), "pid": os.getpid()}).encode())
        self._control.close()
        return born

    def _become(
        self, request: ShimRequest, descriptors: list[int]
    ) -> tuple[ShimRequest, _socket.socket, Sealed | None]:
        request.runtime = request.runtime or self._default_runtime or default_binary()
        program = None
        if request.program and descriptors:
            program = Sealed(request.program, request.program_identity, descriptors.pop())
        if descriptors:
            listener = _socket.socket(fileno=descriptors[0])
            become(request)
            return request, listener, program
        listener = listen(request.socket)
        try:
            become(request)
        except OSError:
            unlink(request.socket)
            raise
        return request, listener, program
