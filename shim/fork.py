"""From the template to a shim: the double fork, and everything the new process must not inherit."""

from __future__ import annotations

import os

from pycontainerd.linux import cgroup, fds, prctl, signals
from shim.main import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from pycontainerd.linux.sealed import Sealed
    from shim.template import ShimRequest

_OK = b"+"


def fork_shim(request: ShimRequest, listener: _socket.socket, program: Sealed | None = None) -> int:
    """Fork a shim that serves `listener`; return its pid once it does. Raises OSError saying what went wrong.

    The caller is itself a child of the template and ends right afterwards, so the shim is nobody's child and leaves no
    zombie. The caller makes the session; the shim is in it, but does not lead it.
    """
    read, write = fds.pipe()
    os.setsid()
    if os.fork() == 0:
        _shim(request, listener, write, program)
    os.close(write)
    answer = _read_all(read)
    os.close(read)
    if not answer.startswith(_OK):
        raise OSError(0, answer.decode("utf-8", "replace") or "the new process ended before it was ready")
    return int(answer[1:])


def _shim(request: ShimRequest, listener: _socket.socket, report: int, program: Sealed | None) -> None:
    """The shim; never returns."""
    status = 1
    try:
        try:
            become(request, (listener.fileno(), report, *(() if program is None else (program.fd,))))
        except OSError as error:
            os.write(report, f"{error.strerror or error}: {error.filename or ''}".encode())
            os._exit(1)
        os.write(report, _OK + str(os.getpid()).encode())
        os.close(report)
        run(request, listener, program)
        status = 0
    finally:
        os._exit(status)


def become(request: ShimRequest, keep: tuple[int, ...]) -> None:
    """Drop what belongs to others: descriptors, directory, signals, OOM score, group. Raises OSError."""
    log = _open_log(request.bundle)
    fds.null_stdio()
    if log >= 0:
        os.dup2(log, 2)
    fds.close_all_but((0, 1, 2, *keep))
    signals.default(signals.SIGINT)  # the template has the others at their defaults; see its main
    os.chdir("/")
    os.umask(0o022)
    prctl.set_subreaper()
    prctl.set_name("pycontainerd-shim")
    if request.oom_score_adj is not None:
        prctl.set_oom_score(request.oom_score_adj)
    if request.cgroup:
        cgroup.join(request.cgroup)


def _open_log(bundle: str) -> int:
    """The daemon's log FIFO, for writing; opened both ways, so that a daemon that is away neither blocks nor kills."""
    try:
        return os.open(f"{bundle}/log", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return -1


def _read_all(fd: int) -> bytes:
    data = b""
    while chunk := os.read(fd, 4096):
        data += chunk
    return data
