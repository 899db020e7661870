"""The time as log lines carry it: RFC 3339 in UTC with nanoseconds, without zeros at the fraction's end, as Go."""

from __future__ import annotations

import time


class Stamp:
    """Formats the present; the second's text is kept, since blocks come many a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def now(self) -> str:
        """Such as `2024-05-01T12:00:00.1234Z`."""
        seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
        if seconds != self._second:
            self._second = seconds
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        fraction = f"{nanos:09d}".rstrip("0")
        return f"{self._text}.{fraction}Z" if fraction else f"{self._text}Z"
