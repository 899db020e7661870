"""Starting without the runtime: all that `start` of crun and runc does is to end init's wait at a FIFO.

Executing a runtime for that takes a tenth of a short container's life. What init does there tells how to let it go:
crun's holds the FIFO open to read and goes on when a byte comes; runc's opens it to write, which blocks until somebody
reads, writes a byte and goes on. Both runtimes take a container whose FIFO is gone for one that runs, so it is removed
as they do it. Whatever is not as expected is left to the runtime's own `start`, which also knows how to complain.
"""

from __future__ import annotations

import os

from pycontainerd.linux.fds import close
from shim.loop import READ, Parked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.loop import Loop, Steps

NAME = "exec.fifo"
"""In a container's directory below the runtime's root."""
RUNTIMES = ("crun", "runc")
"""Programs whose `start` is known."""
_ELF = b"\x7fELF"


def understood(binary: str) -> bool:
    """Whether `binary` is one of the programs themselves, no script of that name that may do more."""
    if os.path.basename(binary) not in RUNTIMES:
        return False
    try:
        fd = os.open(binary, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(fd, len(_ELF)) == _ELF
    finally:
        os.close(fd)


def let_go(loop: Loop, path: str, over: Parked) -> Steps[bool]:
    """Let the init that waits at the FIFO `path` go; False, nothing having been done, when that cannot be.

    `over` has its result when init has ended, which ends the wait for it.
    """
    writer = _open(path, os.O_WRONLY)
    if writer >= 0:
        return _write(writer, path)
    reader = _open(path, os.O_RDONLY)
    if reader < 0:
        return False
    woken = Parked()
    over.then(woken.set)
    loop.watch(reader, READ, lambda _events: woken.set())
    try:
        yield from woken
        return _read(reader, path)
    finally:
        loop.unwatch(reader)
        os.close(reader)


def hold(path: str) -> int:
    """Open the FIFO to read, without waiting, and return the descriptor; -1 where there is none.

    For an init that was killed first: a runtime that comes to open it then (crun) would wait for ever.
    """
    return _open(path, os.O_RDONLY)


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1  # to write: nobody reads


def _write(fd: int, path: str) -> bool:
    try:
        os.unlink(path)
        return os.write(fd, b"0") == 1
    except OSError:
        return False
    finally:
        close(fd)


def _read(fd: int, path: str) -> bool:
    try:
        if not os.read(fd, 1):
            return False
        os.unlink(path)
    except OSError:
        return False
    return True
