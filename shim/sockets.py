"""Unix sockets with names, and what the template and those who start it have agreed on."""

from __future__ import annotations

import _socket
import os

CONTROL = 3
"""The template's end of its control socket, or the socket on which a shared template listens."""
MESSAGE = 64 << 10
"""Bytes of one datagram at most."""
PYTHON_FLAGS = ("-I", "-S", "-E", "-OO", "-X", "no_debug_ranges")
"""How the interpreter is started: without site-packages, docstrings and column tables, which are all memory."""
PATH_LIMIT = 107
TEMPLATE_SOCKET = "PYCONTAINERD_TEMPLATE_SOCKET"
"""Environment: the name a shared template removes when it ends."""
TEMPLATE_IDLE = "PYCONTAINERD_TEMPLATE_IDLE"
"""Environment: seconds without a request after which a shared template ends; ten minutes if not given."""


def listen(path: str) -> _socket.socket:
    """A listening socket at `path`, mode 0600, in place of a dead leftover.

    Raises OSError: EADDRINUSE when somebody answers there.
    """
    kind = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise OSError(36, f"socket path is longer than {PATH_LIMIT} bytes", path)
    made = _socket.socket(_socket.AF_UNIX, kind)
    mask = os.umask(0o177)
    try:
        try:
            made.bind(path)
        except OSError as error:
            if error.errno != 98 or answers(path):
                raise OSError(error.errno, f"cannot listen: {error.strerror}", path) from None
            unlink(path)
            made.bind(path)
        made.listen(128)
    except OSError:
        made.close()
        raise
    finally:
        os.umask(mask)
    return made


def answers(path: str) -> bool:
    """Whether somebody accepts connections at this socket."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    try:
        probe.connect(path)
    except BlockingIOError:
        return True  # its queue is full, so it lives
    except OSError:
        return False
    finally:
        probe.close()
    return True


def unlink(path: str) -> None:
    """Remove a name, if it is there."""
    try:
        os.unlink(path)
    except OSError:
        pass
