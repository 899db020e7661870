"""The daemon's side of the template, the warm process that forks built-in shims (its protocol is in its own header).

Started when first needed, replaced when it dies. A request that was in flight when it died is asked again: the shim may
have come up nevertheless, so the socket is tried before a second one is forked.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.errors import DeadlineExceeded, Unavailable, Unknown
from pycontainerd.linux import process
from pycontainerd.wire import failpoint
from shim.sockets import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_MESSAGE = 64 << 10
"""Largest datagram of the protocol, in bytes."""
REQUEST_LIMIT = 10.0
"""Seconds the template has for one shim; measured in milliseconds when all is well."""
_ATTEMPTS = 3
_FULL_PAUSE = 0.002
_BACKLOG = 128
_PROGRAM = (
    "import os, sys; fd = int(sys.argv.pop()); "
    "os.dup2(fd, 3) if fd != 3 else os.set_inheritable(3, True); fd == 3 or os.close(fd); "
    "sys.path.insert(0, sys.argv.pop()); from shim.template import main; main()"
)
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The directory that holds the ``shim`` and ``pycontainerd`` packages."""
INTERPRETER = (sys.executable, "-I", "-S", "-E", "-OO", "-X", "no_debug_ranges")
"""How a Python process of ours is started: nothing of the environment or of site-packages reaches it."""


@dataclass(frozen=True, slots=True)
class ShimRequest:
    """What a new shim is told; the fields are the protocol's."""

    namespace: str
    id: str
    bundle: str
    socket: str
    events: str
    grpc_address: str = ""
    log_level: str = "info"
    oom_score_adj: int | None = None
    cgroup: str = ""
    runtime: str = ""
    runtime_root: str = ""
    program: str = ""
    program_identity: str = ""


class Template:
    """The one template of a daemon. All methods belong to the event loop's thread."""

    def __init__(self, on_death: Callable[[str], None] | None = None) -> None:
        """``on_death`` is told (for the log) when the template ended without being asked to."""
        self._on_death = on_death
        self._process: process.Process[bytes] | None = None
        self._socket: socket.socket | None = None
        self._replies: dict[int, asyncio.Future[int]] = {}
        self._sequence = 0
        self._starting: asyncio.Lock | None = None

    @property
    def pid(self) -> int:
        """The template's process id, 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the process unless it runs; calling it early takes its warm-up off the first container."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._socket is None:
                self._launch()

    def _launch(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = process.spawn(
                [*INTERPRETER, "-c", _PROGRAM, SOURCE, str(theirs.fileno())],
                fds=(theirs.fileno(),),
                stderr=process.INHERIT,
                new_session=True,
            )
        except OSError as error:
            ours.close()
            raise Unavailable("shim template", hint=f"cannot be started: {error}") from error
        finally:
            theirs.close()
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._readable)

    async def fork(self, request: ShimRequest, program: int | None = None) -> int:
        """Have a shim forked that listens on ``request.socket``; return its pid (0 when only its socket tells of it).

        ``program`` is the descriptor of the sealed copy of ``request.program``; without one, leave both empty.

        Raises Unknown with the template's reason, DeadlineExceeded, or Unavailable when templates keep dying.
        """
        for attempt in range(_ATTEMPTS):
            if attempt and answers(request.socket):
                return 0
            await self.start()
            failpoint.hit("template.request")
            try:
                return await self._ask(request, program)
            except ConnectionError:
                continue
        raise Unavailable("shim template", hint=f"it died {_ATTEMPTS} times while starting a shim for {request.id}")

    async def _ask(self, request: ShimRequest, program: int | None) -> int:
        loop = asyncio.get_running_loop()
        self._sequence += 1
        sequence = self._sequence
        message = json.dumps({"seq": sequence, **asdict(request)}).encode()
        if len(message) > MAX_MESSAGE:
            raise Unknown(f"shim request for {request.id} is too large ({len(message)} bytes)")
        future: asyncio.Future[int] = loop.create_future()
        self._replies[sequence] = future
        control = self._socket
        assert control is not None
        descriptors = () if program is None else (program,)
        try:
            async with asyncio.timeout(REQUEST_LIMIT):
                with _listening(request.socket) as listener:
                    await _send(control, message, (listener.fileno(), *descriptors))
                return await future
        except TimeoutError:
            raise DeadlineExceeded("shim", request.id, f"the template did not fork it in {REQUEST_LIMIT:g} s") from None
        except OSError as error:
            if self._socket is control:  # noticed by writing, before the end of file was read
                self._lost()
            raise ConnectionResetError(str(error)) from error
        finally:
            self._replies.pop(sequence, None)

    def _readable(self) -> None:
        assert self._socket is not None
        while self._socket is not None:
            try:
                data = self._socket.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            self._answer(data)

    def _answer(self, data: bytes) -> None:
        try:
            reply = json.loads(data)
            future = self._replies.get(reply["seq"])
        except (ValueError, KeyError, TypeError):
            return
        if future is None or future.done():
            return
        if isinstance(pid := reply.get("pid"), int):
            future.set_result(pid)
        else:
            future.set_exception(Unknown(f"cannot start the shim: {reply.get('error', 'no reason given')}"))

    def _lost(self) -> None:
        if self._socket is None:
            return
        status = self._drop()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the shim template died"))
        if self._on_death is not None:
            self._on_death(status)

    def _drop(self) -> str:
        """Close our end, end the process and reap it; say how it ended."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        status = "not running"
        if self._process is not None:
            # Not its group: a shim that is just being forked still belongs to that, and is to live.
            self._process.kill()
            self._process.wait()
            status = f"status {self._process.returncode}"
            self._process = None
        return status

    def close(self) -> None:
        """End the template; its shims live on. Idempotent."""
        if self._socket is not None:
            self._drop()


def _listening(path: str) -> socket.socket:
    """A socket that listens at ``path``, mode 0600, in place of a dead leftover. Raises Unknown naming the path.

    A shim could make it itself, but every page that it writes to while doing so is its own for as long as it lives.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(made.fileno(), 0o600)  # the name gets the mode of the socket
        try:
            made.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or answers(path):
                raise
            os.unlink(path)
            made.bind(path)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise Unknown(f"cannot start the shim: cannot listen at {path}: {error.strerror}") from error
    return made


async def _send(control: socket.socket, message: bytes, descriptors: Sequence[int]) -> None:
    """Send one datagram with descriptors, waiting while the socket is full. Raises OSError."""
    while True:
        try:
            socket.send_fds(control, [message], descriptors)
        except BlockingIOError:
            await asyncio.sleep(_FULL_PAUSE)
        else:
            return
