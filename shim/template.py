"""The template: one warm, single-threaded process from which every shim is forked.

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

A request is taken by a process that was forked before it came (see `standby`).

The rules of the fork: the new process keeps the listening socket and nothing else, reads no file of the package and
imports nothing any more, has null stdio plus the log FIFO, a session of its own, default signals, its own OOM score,
and is the reaper of everything below it. It must not notice when the template or the daemon dies.
"""

from __future__ import annotations

import _socket
import gc
import os
import sys

import shim.hotwords  # noqa: F401 - first of all: names that are used must lie apart from the rest
import shim.preload  # noqa: F401 - then what is rarely used
from pycontainerd.linux import cgroup, fds, idmap, openat2, prctl, signals
from pycontainerd.linux.libc import libc
from pycontainerd.linux.pymalloc import fill_holes
from pycontainerd.wire import codec
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.messages import events_task, events_ttrpc, google, task_v3, ttrpc, types_runc
from shim.compact import compact, functions_of
from shim.context import HIERARCHIES
from shim.hotcode import FUNCTIONS
from shim.jsontext import dumps, loads
from shim.log import Log
from shim.rehearsal import rehearse
from shim.runtime import default_binary
from shim.sockets import CONTROL, TEMPLATE_IDLE, TEMPLATE_SOCKET, unlink
from shim.standby import Source, serve
from shim.stdio.jsonlines import Encoder

_IDLE = 600
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

_KEPT: list[object] = []
_SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


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
    gc.disable()  # a collection at a moment of its own choosing empties free lists all over the shared pages
    _KEPT.append(compact(functions_of(FUNCTIONS.splitlines(), _SOURCE)))
    rehearse()
    forbid_imports()


def freeze() -> None:
    """Close up, last of all before the first fork, so that nothing a shim makes comes to lie between what it shares."""
    gc.collect()
    gc.freeze()  # shims collect what is their own; they never look at, and so never copy, what was there before
    prctl.trim_malloc()  # what is free is joined now, or every shim would when it first tidies up
    fill_holes()


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
    os.chdir("/")
    os.umask(0o022)
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
    idle = int(os.environ.get(TEMPLATE_IDLE, _IDLE)) * 1000 if shared else None
    source = Source(control, runtime, idle)
    freeze()
    serve(source)
    if shared:
        unlink(os.environ.get(TEMPLATE_SOCKET, ""))
