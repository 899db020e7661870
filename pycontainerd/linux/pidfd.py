"""Process descriptors: a pid that cannot come to mean another process."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found,unused-ignore]
import os


def open_pid(pid: int) -> int:
    """A descriptor of the process, readable once it has ended. Raises ProcessLookupError when there is none."""
    return os.pidfd_open(pid)


def send(fd: int, number: int) -> None:
    """Send a signal to the process. Raises ProcessLookupError when it has been reaped, OSError for a bad number."""
    _signal.pidfd_send_signal(fd, number)
