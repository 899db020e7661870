"""inotify(7): being told that a file was written."""

from __future__ import annotations

import os

from pycontainerd.linux.libc import encode, libc, oserror

IN_MODIFY = 0x2


def watch(path: str, mask: int = IN_MODIFY) -> int:
    """A non-blocking descriptor that becomes readable when the file changes; closing it ends the watch.

    Raises OSError naming the path.
    """
    fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if fd < 0:
        raise oserror("inotify")
    if libc.inotify_add_watch(fd, encode(path), mask) < 0:
        error = oserror("watch", path)
        os.close(fd)
        raise error
    return fd
