"""Rows of figures, ours beside theirs, as text and as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One comparison; ``ratio`` is ours divided by theirs in the unit's own direction."""

    what: str
    ours: float
    theirs: float
    unit: str
    peer: str
    bar: str = ""

    @property
    def ratio(self) -> float:
        """Ours over theirs; not a number where the peer gave nothing."""
        return self.ours / self.theirs if self.theirs else float("nan")


@dataclass
class Report:
    """What one run found. With a ``path`` it is written there as it grows, so that a run that is cut leaves its part."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    path: Path | None = None
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(self, row: Row) -> None:
        """Keep a row and print it at once."""
        self.rows.append(row)
        print(self.line(row), flush=True)
        self._keep()

    def note(self, text: str) -> None:
        """Keep a remark, a table of spans for example."""
        self.notes.append(text)
        print(text, flush=True)
        self._keep()

    def _keep(self) -> None:
        if self.path is not None:
            self.write(self.path)

    @staticmethod
    def line(row: Row) -> str:
        """One row as aligned text."""
        theirs = f"{row.theirs:9.2f} {row.unit:5} {row.peer:24} ratio {row.ratio:5.2f}" if row.theirs else ""
        return f"{row.what:58} {row.ours:9.2f} {row.unit:5} {theirs} {row.bar}"

    def write(self, path: Path) -> None:
        """Write the run as Markdown."""
        lines = ["# Results", "", f"{time.strftime('%Y-%m-%d')}, {machine()}.", ""]
        lines += [
            f"Load average when the run began: {self.load:.1f} (what else ran is in every figure, ours and theirs)."
        ]
        lines += [""]
        lines += ["| what | ours | theirs | unit | peer | ratio | bar |", "|---|---|---|---|---|---|---|"]
        for r in self.rows:
            theirs = (f"{r.theirs:.2f}", f"{r.ratio:.2f}") if r.theirs else ("–", "–")
            what = r.what.replace("|", r"\|")
            lines.append(f"| {what} | {r.ours:.2f} | {theirs[0]} | {r.unit} | {r.peer} | {theirs[1]} | {r.bar} |")
        lines += ["", *("```\n" + note + "\n```\n" for note in self.notes)]
        path.write_text("\n".join(lines))


def machine() -> str:
    """The machine in one phrase."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
