"""Process attributes: prctl(2), the OOM score, and the C library's allocator."""

from __future__ import annotations

import os

from pycontainerd.linux.libc import libc, oserror

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_M_MMAP_THRESHOLD = -3
_M_TRIM_THRESHOLD = -1
_M_ARENA_MAX = -8


def set_subreaper(on: bool = True) -> None:
    """Become (or stop being) the process to which orphans below this one are given. Raises OSError."""
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0) < 0:
        raise oserror("set child subreaper")


def is_subreaper() -> bool:
    """Whether this process is a child subreaper."""
    import ctypes

    flag = ctypes.c_int(0)
    if libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(flag), 0, 0, 0) < 0:
        raise oserror("get child subreaper")
    return bool(flag.value)


def set_name(name: str) -> None:
    """Name this thread, as `ps -o comm` shows it; the kernel keeps 15 bytes."""
    libc.prctl(_PR_SET_NAME, os.fsencode(name)[:15], 0, 0, 0)


def set_oom_score(score: int, pid: int = 0) -> bool:
    """Set the OOM score adjustment (-1000..1000) of a process, 0 for this one; False when the kernel refuses.

    Going below the lowest value the process ever had takes CAP_SYS_RESOURCE, which daemons in containers lack.
    """
    try:
        fd = os.open(f"/proc/{pid or 'self'}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, b"%d" % score)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def oom_score(pid: int = 0) -> int:
    """The OOM score adjustment of a process, 0 for this one. Raises OSError."""
    fd = os.open(f"/proc/{pid or 'self'}/oom_score_adj", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, 16))
    finally:
        os.close(fd)


def frugal_malloc() -> None:
    """Make the allocator give memory back: big blocks are mapped and unmapped, the top of the heap is cut.

    Without it glibc raises both thresholds with the first freed big block, and a process that once moved a burst of
    data keeps the burst's memory for good. Lower thresholds would have every block of output mapped anew.
    """
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
    libc.mallopt(_M_TRIM_THRESHOLD, 1 << 20)
    libc.mallopt(_M_ARENA_MAX, 1)


def trim_malloc() -> None:
    """Return free heap pages to the kernel (malloc_trim(3))."""
    libc.malloc_trim(0)
