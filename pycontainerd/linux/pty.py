"""Pseudo-terminals: their size, and receiving one over a console socket."""

from __future__ import annotations

import _socket
import fcntl
import os
import struct

from pycontainerd.linux.fds import receive_fds

_TIOCSWINSZ = 0x5414
_TIOCGWINSZ = 0x5413


def set_size(fd: int, width: int, height: int) -> None:
    """Set the window size in characters; the foreground process gets SIGWINCH. Raises OSError."""
    fcntl.ioctl(fd, _TIOCSWINSZ, struct.pack("4H", min(height, 0xFFFF), min(width, 0xFFFF), 0, 0))


def size(fd: int) -> tuple[int, int]:
    """The window size as (width, height). Raises OSError."""
    rows, columns, _, _ = struct.unpack("4H", fcntl.ioctl(fd, _TIOCGWINSZ, bytes(8)))
    return columns, rows


def receive_master(connection: _socket.socket) -> int:
    """The pty master an OCI runtime sends over its connection to the console socket, non-blocking.

    Raises OSError, and ValueError when the message carries no terminal.
    """
    _name, descriptors = receive_fds(connection, 4096, 4)
    for extra in descriptors[1:]:
        os.close(extra)
    if not descriptors or not os.isatty(descriptors[0]):
        for fd in descriptors[:1]:
            os.close(fd)
        raise ValueError("the runtime sent no terminal over the console socket")
    os.set_blocking(descriptors[0], False)
    return descriptors[0]
