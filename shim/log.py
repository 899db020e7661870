"""The shim's own log: one line a message on standard error, which is the bundle's log FIFO.

The daemon reads the FIFO; while it is away lines pile up to the size of a pipe and are then lost, never waited for.
"""

from __future__ import annotations

import os
import time

from shim.jsontext import quote

LEVELS = {"trace": 0, "debug": 1, "info": 2, "warn": 3, "warning": 3, "error": 4, "fatal": 5, "panic": 5}


class Log:
    """Writes lines of `key=value` words as containerd's own components do."""

    __slots__ = ("fields", "threshold")

    def __init__(self, level: str = "info", fields: str = "") -> None:
        self.become(level, fields)

    def become(self, level: str, fields: str) -> None:
        """Take a level (`info` if unknown) and what stands at the end of each line."""
        self.threshold = LEVELS.get(level.lower(), 2)
        self.fields = fields

    def debug(self, message: str) -> None:
        """What only helps to find a fault."""
        if self.threshold <= 1:
            self._line("debug", message)

    def info(self, message: str) -> None:
        """What an administrator may want to know."""
        if self.threshold <= 2:
            self._line("info", message)

    def warn(self, message: str) -> None:
        """Something went wrong and was put right."""
        self._line("warning", message)

    def error(self, message: str) -> None:
        """Something went wrong and somebody may miss it."""
        self._line("error", message)

    def _line(self, level: str, message: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f'time="{stamp}" level={level} msg={quote(message)}{self.fields}\n'
        try:
            os.write(2, line.encode())
        except OSError:
            pass
