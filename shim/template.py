"""The template: one warm, single-threaded process that forks a shim for each request.

The daemon starts it once, as

    python -I -S -E -OO -X no_debug_ranges -c "import sys; sys.path.insert(0, DIR); from shim.template import main;
        main()"

with one end of an AF_UNIX, SOCK_SEQPACKET socket pair as descriptor 3, and keeps the other end. Everything else the
template inherits it closes; standard input and output become /dev/null, standard error stays the daemon's.

One request is one datagram of at most 64 KiB holding a JSON object:

    seq            int            echoed in the reply
    namespace      str            containerd namespace of the shim's containers
    id             str            the shim's id: the container's id, or the group's
    bundle         str            absolute path; `<bundle>/log` (a FIFO made by the daemon) becomes the shim's stderr
    socket         str            absolute path to listen on (a dead leftover is replaced), mode 0600
    events         str            ttrpc address of the daemon, "" for no events
    grpc_address   str            gRPC address of the daemon (handed to logger programs and hooks by name only)
    log_level      str            debug, info, warn or error; default info
    oom_score_adj  int or null    the shim's own score; null leaves the template's
    cgroup         str            cgroup directory the shim joins (absolute path below /sys/fs/cgroup), "" for none
    runtime        str            optional: OCI runtime for create options that name none ("" probes crun, then runc)
    runtime_root   str            optional: runtime state root used when the create options name none
    program        str            optional: absolute path of an OCI runtime of which a sealed copy comes along
    program_identity  str         what the program's file was like when it was copied, see `linux.sealed`

A request may carry descriptors (SCM_RIGHTS): a socket that already listens, `socket` then only names it; and, as the
last one, the copy of `program`.
The reply is one datagram: {"seq": n, "pid": p} once the socket accepts connections, or {"seq": n, "error": "…"}.
Several requests may be in flight; they are answered in any order. End of file on descriptor 3 ends the template, not
the shims.

What a shim leaves in a container's bundle, for a daemon that was away:

    init.pid                  pid of the init process, decimal
    runtime                   path of the OCI runtime; options.json: the runc options it was created with
    exits/init                how init ended; exits/exec.<exec id> the same for an exec. Each holds one JSON object
                              {"pid": int, "status": int, "seconds": int, "nanos": int}, written and renamed before
                              the exit event is published; removed together with its exec or bundle

The rules of the fork: the new process keeps the listening socket and nothing else, reads no file of the package and
imports nothing any more, has null stdio plus the log FIFO, a session of its own, default signals, its own OOM score,
and is the reaper of everything below it. It must not notice when the template or the daemon dies.
"""

from __future__ import annotations

import _socket
import gc
import os
import select
import sys

import shim.preload  # noqa: F401 - first of all: what is rarely used must lie apart from the rest
from pycontainerd.linux import cgroup, fds, idmap, openat2, prctl, signals
from pycontainerd.linux.libc import libc
from pycontainerd.linux.sealed import Sealed
from pycontainerd.wire import codec
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.messages import events_task, events_ttrpc, google, task_v3, ttrpc, types_runc
from shim.context import HIERARCHIES
from shim.fork import become
from shim.jsontext import dumps, loads
from shim.log import Log
from shim.main import run
from shim.runtime import default_binary
from shim.sockets import CONTROL, MESSAGE, TEMPLATE_IDLE, TEMPLATE_SOCKET, listen, unlink
from shim.stdio.jsonlines import Encoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_IDLE = 600
_PATIENCE = 5.0
_HOT = (
    ttrpc.Request,
    ttrpc.Response,
    events_ttrpc.ForwardRequest,
    events_task.TaskCreate,
    events_task.TaskStart,
    events_task.TaskExit,
    events_task.TaskDelete,
    task_v3.CreateTaskRequest,
    task_v3.CreateTaskResponse,
    task_v3.StartRequest,
    task_v3.StartResponse,
    task_v3.StateRequest,
    task_v3.StateResponse,
    task_v3.WaitRequest,
    task_v3.WaitResponse,
    task_v3.DeleteRequest,
    task_v3.DeleteResponse,
    task_v3.ConnectRequest,
    task_v3.ConnectResponse,
    task_v3.KillRequest,
    task_v3.ShutdownRequest,
    types_runc.Options,
    google.Empty,
)
"""What every container's life takes; the others are linked when they are first needed, by shims that need them."""


_OPTIONAL = ("runtime", "runtime_root", "program", "program_identity")


class ShimRequest:
    """One request, checked; the fields are those of the datagram."""

    __slots__ = (
        "bundle",
        "cgroup",
        "events",
        "grpc_address",
        "id",
        "log_level",
        "namespace",
        "oom_score_adj",
        "program",
        "program_identity",
        "runtime",
        "runtime_root",
        "socket",
    )

    def __init__(self, fields: dict[str, Any]) -> None:
        """Raises ValueError naming the field that is missing or wrong."""
        for name in ("namespace", "id", "bundle", "socket"):
            if not isinstance(fields.get(name), str) or not fields[name]:
                raise ValueError(f"template request: {name} must be a string that is not empty")
        for name in ("events", "grpc_address", "log_level", "cgroup", *_OPTIONAL):
            if not isinstance(fields.get(name) or "", str):
                raise ValueError(f"template request: {name} must be a string")
        score = fields.get("oom_score_adj")
        if score is not None and (not isinstance(score, int) or not -1000 <= score <= 1000):
            raise ValueError("template request: oom_score_adj must be a number from -1000 to 1000, or null")
        self.namespace: str = fields["namespace"]
        self.id: str = fields["id"]
        self.bundle: str = fields["bundle"]
        self.socket: str = fields["socket"].removeprefix("unix://")
        self.events: str = fields.get("events") or ""
        self.grpc_address: str = fields.get("grpc_address") or ""
        self.log_level: str = fields.get("log_level") or "info"
        self.oom_score_adj: int | None = score
        self.cgroup: str = fields.get("cgroup") or ""
        self.runtime: str = fields.get("runtime") or ""
        self.runtime_root: str = fields.get("runtime_root") or ""
        self.program: str = fields.get("program") or ""
        self.program_identity: str = fields.get("program_identity") or ""


class Birth:
    """What a process that is to be a shim does first: understand the request, become it, and reply.

    The template does none of it, because what the template writes to stops being shared with the shims forked before;
    nor does the process between, because the shim would have to copy the same pages a second time.
    """

    def __init__(self, control: _socket.socket, default_runtime: str) -> None:
        self._control = control
        self._default_runtime = default_runtime

    def live(self, data: bytes, descriptors: list[int]) -> NoReturn:
        """Be the shim that the datagram asks for, until its end."""
        status = 1
        try:
            born = self._born(data, descriptors)
            if born is not None:
                run(*born)
                status = 0
        finally:
            os._exit(status)

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
        keep = [self._control.fileno(), *((program.fd,) if program is not None else ())]
        if descriptors:
            listener = _socket.socket(fileno=descriptors[0])
            become(request, (listener.fileno(), *keep))
            return request, listener, program
        listener = listen(request.socket)
        try:
            become(request, (listener.fileno(), *keep))
        except OSError:
            unlink(request.socket)
            raise
        return request, listener, program


def serve(control: _socket.socket, default_runtime: str, idle: int | None = None) -> None:
    """Fork a process for each request until the other end is closed, or nothing has come for `idle` milliseconds.

    Nothing may happen here between two forks that is not needed: see `Birth`.
    """
    poll = select.poll()
    poll.register(control.fileno(), select.POLLIN)
    fork, wait, ready = os.fork, os.waitpid, poll.poll
    while True:
        if not ready(idle):
            return
        pid = fork()
        if pid == 0:
            _between(control, default_runtime, idle is not None)
        if wait(pid, 0)[1] == _END:
            return


_END = 7 << 8
"""Wait status of a process that found the end of the file."""


def _between(control: _socket.socket, default_runtime: str, shared: bool) -> NoReturn:
    """The process between, which leaves the shim to be nobody's child; it takes the datagram and does no more."""
    status = 1
    try:
        if shared:
            control = _accept(control)
        data, descriptors = _receive(control)
        if data:
            os.setsid()  # a session of its own, which the shim is in but does not lead
            _fork_shim(control, default_runtime, data, descriptors)
        status = 0 if data or shared else _END >> 8
    finally:
        os._exit(status)


def _fork_shim(control: _socket.socket, default_runtime: str, data: bytes, descriptors: list[int]) -> None:
    birth = Birth(control, default_runtime)
    try:
        child = os.fork()
    except OSError as error:
        birth.refuse(data, error)
        return
    if child == 0:
        birth.live(data, descriptors)


def _receive(control: _socket.socket) -> tuple[bytes, list[int]]:
    """One datagram with its descriptors; nothing at the end of the file."""
    try:
        return fds.receive_fds(control, MESSAGE, 2)
    except ConnectionResetError:
        return b"", []


def _accept(listener: _socket.socket) -> _socket.socket:
    """The next connection to a shared template; its peer must be of the same user, and speak at once."""
    connection = fds.accept(listener)
    if fds.peer_uid(connection) != os.getuid():
        os._exit(1)
    connection.settimeout(_PATIENCE)
    return connection


class ImportForbidden(ImportError):
    """Raised by an import in a shim: it would read files of an installation that may be gone by then."""


class _Refuse:
    """A finder that finds nothing and says why."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        raise ImportForbidden(f"a shim imports nothing after the fork, and {name} is not loaded")


def forbid_imports() -> None:
    """Make every import of a module that is not loaded fail loudly, here and in every process forked from here."""
    sys.meta_path[:] = [_Refuse]
    sys.path.clear()
    sys.path_hooks.clear()


def warm() -> None:
    """Do once what every shim would do first, so that the pages and tables it takes are shared."""
    codec.warm(*_HOT)
    Encoder("stdout").feed(b'warm "up"\n')
    Log("error").debug(str((idmap, openat2)))
    loads(dumps({"warm": [1, True, None, "up"]}))
    HIERARCHIES.append(cgroup.mounted())
    for name in ("prctl", "sigprocmask", "signalfd", "mount", "umount2", "malloc_trim"):
        getattr(libc, name)
    forbid_imports()
    gc.collect()
    gc.disable()  # a collection at a moment of its own choosing empties free lists all over the shared pages
    gc.freeze()  # shims collect what is their own; they never look at, and so never copy, what was there before


def _probe() -> str:
    """The default runtime, "" when there is none (yet)."""
    try:
        return default_binary()
    except RpcError:
        return ""


def main() -> None:
    """Serve requests on descriptor 3 until its other end is closed.

    When descriptor 3 listens, the template is a shared one (see `launch`): it takes one request a connection, and ends
    when none has come for ten minutes.
    """
    prctl.frugal_malloc()
    prctl.set_name("pycontainerd-template")
    signals.reset()
    signals.ignore(signals.SIGPIPE, signals.SIGXFSZ, signals.SIGINT)  # a terminal's ^C is meant for the daemon
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    fds.close_all_but((0, 1, 2, CONTROL))
    try:
        control = _socket.socket(fileno=CONTROL)
        shared = bool(control.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN))
    except OSError:
        raise SystemExit("the shim template is started by a daemon, with a socket as descriptor 3") from None
    os.set_inheritable(CONTROL, False)
    runtime = _probe()
    warm()
    serve(control, runtime, int(os.environ.get(TEMPLATE_IDLE, _IDLE)) * 1000 if shared else None)
    if shared:
        unlink(os.environ.get(TEMPLATE_SOCKET, ""))
