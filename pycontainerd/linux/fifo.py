"""Named pipes as containerd's clients use them for a container's standard streams. Everything here is non-blocking."""

from __future__ import annotations

import errno
import os
import stat

_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


def check(path: str) -> None:
    """Raise OSError naming the path unless it is an existing named pipe (ENXIO for another kind of file)."""
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        raise OSError(errno.ENXIO, "not a named pipe", path)


def open_reader(path: str) -> int:
    """The reading end. Raises OSError naming the path."""
    check(path)
    return os.open(path, os.O_RDONLY | _FLAGS)


def open_writer(path: str) -> int:
    """The writing end; ENXIO when nobody has it open for reading. Raises OSError naming the path."""
    check(path)
    return os.open(path, os.O_WRONLY | _FLAGS)


def open_both(path: str) -> int:
    """One descriptor that is writer and reader: opening never waits, and writing never meets a pipe without readers."""
    check(path)
    return os.open(path, os.O_RDWR | _FLAGS)
