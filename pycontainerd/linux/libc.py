"""The C library, called through ctypes: failures become OSError with errno and the path concerned.

Functions are bound with `use_errno`, so errno is the calling thread's own, and the GIL is released while a call runs.
"""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
"""The process's own C library."""

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

_syscall = libc.syscall
_syscall.restype = ctypes.c_long


def oserror(what: str, path: str | None = None, number: int | None = None) -> OSError:
    """The OSError of the last failed call: ``what`` says the attempt, ``path`` the thing it was about."""
    number = ctypes.get_errno() if number is None else number
    return OSError(number, f"{what}: {os.strerror(number)}", path)


def syscall(what: str, number: int, *args: object, path: str | None = None) -> int:
    """Make a raw system call and return its answer; raise OSError when it is negative.

    ints are passed as C longs: the variadic ABI would leave the upper half of a register undefined for C ints.
    """
    answer = int(_syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in args)))
    if answer < 0:
        raise oserror(what, path)
    return answer


def encode(path: str) -> bytes:
    """A path or option as C wants it; a NUL inside would silently cut it, so it is refused."""
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise OSError(22, "path holds a NUL byte", path)
    return raw
