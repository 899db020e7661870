"""Progress of transfers: a bar a layer on a terminal, plain lines elsewhere, nothing with ``-q``."""

from __future__ import annotations

import os
import sys
import time

from pycontainerd.core.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from pycontainerd.wire.messages.types_transfer import Progress

_WORDS = {
    "waiting": "Waiting",
    "downloading": "Downloading",
    "extracting": "Extracting",
    "extracted": "Pull complete",
    "complete": "Download complete",
    "already exists": "Already exists",
    "saved": "Saved",
}
_DONE = ("Pull complete", "Already exists", "Saved", "Download complete")
_BAR = 30
_PAUSE = 0.1
"""Seconds between two drawings."""


class Line:
    """One layer or manifest."""

    __slots__ = ("done", "event", "order", "total")

    def __init__(self, order: int) -> None:
        self.order, self.event, self.done, self.total = order, "", 0, 0


class Display:
    """Draws what ``report`` is told; ``finish`` leaves the last state on the screen."""

    def __init__(self, out: TextIO, *, quiet: bool = False) -> None:
        self._out, self._quiet = out, quiet
        self._live = out.isatty() and not quiet
        self._lines: dict[str, Line] = {}
        self._drawn = 0
        self._last = 0.0

    def report(self, progress: Progress) -> None:
        """Take in one message of the daemon's."""
        name = _short(progress)
        if self._quiet or not name:
            return
        event = _WORDS.get(progress.event)
        if event is None:
            return
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(len(self._lines))
        changed = line.event != event
        line.event, line.done = event, progress.progress
        line.total = progress.total or (progress.desc.size if progress.desc is not None else 0) or line.total
        if self._live:
            if time.monotonic() - self._last > _PAUSE:
                self._draw()
        elif changed and event in _DONE:
            print(f"{name}: {event}", file=self._out, flush=True)

    def finish(self) -> None:
        """Draw the end."""
        if self._live and self._lines:
            self._draw()

    def _draw(self) -> None:
        self._last = time.monotonic()
        width, height = _screen()
        rows = [_row(name, line, width) for name, line in self._lines.items()][-(height - 1) :]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._out.write(up + "".join(f"\x1b[2K{row}\n" for row in rows))
        self._out.flush()
        self._drawn = len(rows)


def _screen() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return 80, 24
    return size.columns or 80, size.lines or 24


def _short(progress: Progress) -> str:
    digest = progress.desc.digest if progress.desc is not None and progress.desc.digest else progress.name
    for prefix in ("layer-", "config-", "manifest-", "index-"):
        digest = digest.removeprefix(prefix)
    return digest.removeprefix("sha256:")[:12] if "sha256:" in progress.name + digest else ""


def _row(name: str, line: Line, width: int) -> str:
    text = f"{name}: {line.event}"
    if line.event in ("Downloading", "Extracting") and line.total:
        filled = min(_BAR, line.done * _BAR // line.total)
        bar = "=" * filled + (">" if filled < _BAR else "") + " " * (_BAR - filled - 1)
        text += f" [{bar}] {human_size(line.done)}/{human_size(line.total)}"
    return text[: width - 1]
