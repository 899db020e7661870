"""A container's life, played a few times in the template before any shim is forked, by a runtime that does nothing.

CPython rewrites the instructions of a function that has run a few times for the kinds of objects it met (PEP 659). What
is rewritten looks nothing up any more, and so counts no users of names, of descriptors and of modules: a shim that is
forked afterwards is quicker, and copies fewer of the pages it shares with the template.

Everything is real but the program, which is true(1) by the name of a runtime, and init, which is a fork of the template
that waits at the runtime's FIFO. What is played leaves nothing behind; where it cannot be played, shims just learn by
themselves.
"""

from __future__ import annotations

import _socket
import os
import select

from pycontainerd.linux import signals
from pycontainerd.linux.fds import write_file
from pycontainerd.linux.tree import remove_tree
from pycontainerd.wire import failpoint, ttrpc
from pycontainerd.wire.messages import google, task_v3, types_runc
from pycontainerd.wire.messages import ttrpc as wire
from shim.loop import READ
from shim.main import Embryo, run
from shim.request import ShimRequest
from shim.server import Server
from shim.sockets import listen
from shim.startfifo import NAME, RUNTIMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.codec import Message
    from pycontainerd.wire.server import Request
    from shim.loop import Loop
    from shim.service import Fail, Respond

LIVES = 12
"""CPython 3.11 rewrites a function with its eighth call, and each instruction when it is next run."""
_LIMIT = 2.0
_PROGRAMS = ("/usr/bin/true", "/bin/true")
_FOLDER = "pycontainerd-rehearsal"
_ID = "rehearsal"
_SPEC = b'{"ociVersion":"1.0.2","linux":{"cgroupsPath":"/rehearsal","namespaces":[{"type":"pid"}]}}'


def rehearse(parent: str = "/run") -> int:
    """Play; how many lives came to their end. Uses, and removes, a directory below `parent`."""
    folder = f"{parent}/{_FOLDER}.{os.getpid()}"
    armed = failpoint.suspend()
    played = 0
    try:
        _tidy(parent)
        _remove(folder)  # of one that had our number
        os.mkdir(folder, 0o700)
        os.symlink(next(path for path in _PROGRAMS if os.path.exists(path)), f"{folder}/{RUNTIMES[0]}")
        while played < LIVES and _Life(f"{folder}/{played}", folder).played():
            played += 1
    except (OSError, StopIteration):
        pass  # no such program, or no such place
    finally:
        failpoint.resume(armed)
        _remove(folder)
        signals.unblock(signals.SIGCHLD, signals.SIGTERM)
    return played


class _Life:
    """One shim with one container, the daemon that takes its events, and the client that asks it."""

    def __init__(self, bundle: str, folder: str) -> None:
        self._bundle = bundle
        self._state = f"{folder}/state"
        self._binary = f"{folder}/{RUNTIMES[0]}"
        self._init = 0

    def played(self) -> bool:
        """Play it; whether it came to its end."""
        bundle = self._bundle
        os.mkdir(bundle, 0o700)
        write_file(f"{bundle}/config.json", _SPEC)
        self._init = self._wait_at_fifo()
        try:
            write_file(f"{bundle}/init.pid", b"%d" % self._init)
            return self._play()
        finally:
            self._end()

    def _play(self) -> bool:
        bundle = self._bundle
        embryo = Embryo()
        daemon = Server(embryo.loop, _Daemon(), listen(f"{bundle}/d"), embryo.log)
        try:
            names = {"namespace": _ID, "id": _ID, "bundle": bundle, "socket": f"{bundle}/s", "events": f"{bundle}/d"}
            listener = listen(f"{bundle}/s")
            client = _Client(embryo.loop, f"{bundle}/s", self._calls())
            embryo.loop.later(_LIMIT, client.give_up)
            run(embryo, ShimRequest({**names, "log_level": "error"}), listener)
            client.close()
            return client.served
        finally:
            daemon.stop_listening()
            for connection in tuple(daemon.connections):
                connection.close()
            embryo.close()

    def _wait_at_fifo(self) -> int:
        """What init does: wait at the FIFO to be let go. Its pid."""
        folder = f"{self._state}/{_ID}/{_ID}"
        os.makedirs(folder, 0o700, exist_ok=True)
        os.mkfifo(f"{folder}/{NAME}", 0o600)
        reader = os.open(f"{folder}/{NAME}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                poll = select.poll()
                poll.register(reader, select.POLLIN)
                poll.poll(_LIMIT * 1000)
            finally:
                os._exit(0)
        os.close(reader)
        return pid

    def _calls(self) -> list[tuple[str, Message]]:
        options = types_runc.Options(binary_name=self._binary, root=self._state)
        packed = google.Any(type_url=options.TYPE, value=options.encode())
        return [
            ("Create", task_v3.CreateTaskRequest(id=_ID, bundle=self._bundle, options=packed)),
            ("Start", task_v3.StartRequest(id=_ID)),
            ("Wait", task_v3.WaitRequest(id=_ID)),
            ("Delete", task_v3.DeleteRequest(id=_ID)),
            ("Shutdown", task_v3.ShutdownRequest(id=_ID)),
        ]

    def _end(self) -> None:
        """Init may be left when the play was broken off. Once it was reaped its number may be somebody else's."""
        try:
            if os.waitpid(self._init, os.WNOHANG)[0] == 0:
                os.kill(self._init, signals.SIGKILL)
                os.waitpid(self._init, 0)
        except ChildProcessError:
            pass
        _remove(self._state)


class _Daemon:
    """Takes every event."""

    def serve(self, request: Request, respond: Respond, fail: Fail) -> None:
        respond(google.Empty())


class _Client:
    """Asks one thing after the other, each once the one before was answered."""

    def __init__(self, loop: Loop, path: str, calls: list[tuple[str, Message]]) -> None:
        self.served = False
        self._loop = loop
        self._calls = calls
        self._stream = -1
        self._frames = ttrpc.FrameReader()
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._socket.connect(path)
        self._ask()
        loop.watch(self._socket.fileno(), READ, self._answered)

    def give_up(self) -> None:
        """End the loop, in the middle of it."""
        self.served = False
        self._loop.stop()

    def close(self) -> None:
        """Give back the descriptor."""
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()

    def _ask(self) -> None:
        method, message = self._calls.pop(0)
        request = wire.Request(service="containerd.task.v3.Task", method=method, payload=message.encode()).encode()
        self._stream += 2
        self.served = not self._calls  # the last one ends the loop
        os.write(self._socket.fileno(), ttrpc.header(self._stream, ttrpc.REQUEST, 0, len(request)) + request)

    def _answered(self, _events: int) -> None:
        for frame in self._frames.feed(os.read(self._socket.fileno(), 4096)):
            status = wire.Response.decode(frame.payload or b"").status
            if status is not None and status.code:
                self.give_up()
            elif self._calls:
                self._ask()


def _remove(path: str) -> None:
    """Remove a directory and what is in it, as far as that is possible."""
    try:
        remove_tree(path)
    except OSError:
        pass


def _tidy(parent: str) -> None:
    """Remove what was left by templates that were killed while they played."""
    for name in os.listdir(parent):
        stem, _, pid = name.rpartition(".")
        if stem == _FOLDER and not os.path.exists(f"/proc/{pid}/stat"):
            _remove(f"{parent}/{name}")
