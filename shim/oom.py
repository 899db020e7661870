"""Noticing that the kernel killed a process of a container for want of memory.

Version 1: an eventfd registered at memory.oom_control. Version 2: an inotify watch on memory.events. Both only say
"look"; the counter `oom_kill` decides: the removal of the group, which wakes version 1 too, counts for nothing.
"""

from __future__ import annotations

import os

from pycontainerd.linux import inotify
from pycontainerd.linux.fds import close
from shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainerd.linux.cgroup import Cgroup
    from shim.loop import Loop


class OomWatch:
    """Calls `tell()` whenever the counter has grown."""

    __slots__ = ("_fd", "_group", "_loop", "_seen", "_tell")

    def __init__(self, loop: Loop, group: Cgroup, tell: Callable[[], None]) -> None:
        self._loop = loop
        self._group = group
        self._tell = tell
        self._seen = group.oom_kills()
        self._fd = -1
        try:
            self._fd = self._open()
        except OSError:
            return  # no memory controller here; `look` at the end of init finds nothing either
        if self._fd >= 0:
            loop.watch(self._fd, READ, self._woken)

    def _open(self) -> int:
        if self._group.v2:
            return inotify.watch(f"{self._group.unified}/memory.events") if self._group.unified else -1
        folder = self._group.dirs.get("memory")
        if not folder:
            return -1
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            control = os.open(f"{folder}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                register = os.open(f"{folder}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(register, b"%d %d" % (event, control))
                finally:
                    os.close(register)
            finally:
                os.close(control)
        except OSError:
            os.close(event)
            raise
        return event

    def _woken(self, _events: int) -> None:
        try:
            os.read(self._fd, 4096)
        except OSError:
            pass
        self.look()

    def look(self) -> None:
        """Tell if the counter has grown since the last look."""
        count = self._group.oom_kills()
        if count > self._seen:
            self._seen = count
            self._tell()

    def close(self) -> None:
        """Stop watching."""
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            close(self._fd)
            self._fd = -1
