"""The ``log`` fifo of a bundle: what a shim has to say reaches the daemon's log line by line.

The daemon keeps the fifo open for reading and writing, so it never sees an end of file when a shim goes and can attach
to a running shim's fifo after a restart.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 16 << 10
_MAX_LINE = 16 << 10


class LogFifo:
    """Reads one fifo in the event loop and hands on whole lines; ``close`` when the bundle goes."""

    def __init__(self, path: str, on_line: Callable[[str], None]) -> None:
        """Open ``path``; raises OSError when it is no fifo of ours."""
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._on_line = on_line
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._rest) >= _MAX_LINE:
            self._say(self._rest)
            self._rest = b""

    def _say(self, line: bytes) -> None:
        if text := line.decode("utf-8", "replace").strip():
            self._on_line(text)

    def close(self) -> None:
        """Read what is left, then stop; idempotent."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._loop.remove_reader(fd)
        try:
            self._rest += os.read(fd, _CHUNK)
        except OSError:
            pass
        os.close(fd)
        for line in self._rest.split(b"\n"):
            self._say(line)
        self._rest = b""
