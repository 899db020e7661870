"""The daemon's sockets and directories before anything listens on them."""

from __future__ import annotations

import os
import socket
import stat

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied

MAX_PATH = 107
"""Bytes in the path of a unix socket (``sun_path`` without its final NUL)."""


def prepare_directory(path: str, mode: int) -> None:
    """Make a directory with its parents. Raises PermissionDenied, InvalidArgument."""
    try:
        os.makedirs(path, mode=mode, exist_ok=True)
    except PermissionError as error:
        raise PermissionDenied("directory", path, "cannot be made; run as root or choose another") from error
    except OSError as error:
        raise InvalidArgument("directory", path, f"cannot be made: {error.strerror}") from error


def claim(path: str) -> None:
    """Make ``path`` free to bind: its directory exists, and a socket that nobody listens on is removed.

    Raises InvalidArgument (path too long, or something else is there), FailedPrecondition (somebody listens).
    """
    size = len(os.fsencode(path))
    if size > MAX_PATH:
        raise InvalidArgument(
            "socket path", path, f"has {size} bytes, at most {MAX_PATH} fit; choose a shorter --address"
        )
    prepare_directory(os.path.dirname(path) or ".", 0o711)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InvalidArgument("socket path", path, "something that is not a socket is there; remove it")
    if _answers(path):
        raise FailedPrecondition(
            "socket", path, "another daemon listens on it; stop that one or choose another --address"
        )
    os.unlink(path)


def release(path: str) -> None:
    """Remove our socket on the way out; gone already is fine."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
        client.settimeout(2.0)
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # Busy or not ours to reach: somebody is there.
            return True
    return True
