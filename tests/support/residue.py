"""What a whole test run must not leave on the machine, whatever its tests killed.

Tests tear down what they start. Some kill daemons and shims in mid-step on purpose, though, and what then stands about
belongs to nobody: it is found here by comparing the machine before and after, removed, and named in the summary.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = Path("/run/netns")


def processes() -> dict[int, int]:
    """Processes that run this checkout's interpreter, and everything below them; pid to parent."""
    parents: dict[int, int] = {}
    ours: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                pid = int(entry.name)
                parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if (entry / "cmdline").read_bytes().split(b"\0")[0] == sys.executable.encode():
                    ours.add(pid)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
        ours |= more
        grown = bool(more)
    return {pid: parents[pid] for pid in ours}


def cgroups() -> set[str]:
    """Every control group below the hierarchies' roots."""
    return {path for path, _, _ in os.walk(CGROUPS)}


def namespaces() -> set[str]:
    """Named network namespaces."""
    return set(os.listdir(NAMESPACES)) if NAMESPACES.is_dir() else set()


class Residue:
    """The machine as it was; ``remove`` takes away what has come since and says what that was."""

    def __init__(self) -> None:
        self._processes, self._cgroups, self._namespaces = set(processes()), cgroups(), namespaces()

    def remove(self) -> dict[str, int]:
        """End processes, delete namespaces, remove empty groups; how many of each."""
        return {
            "processes": self._end(),
            "network namespaces": self._delete(),
            "control groups": sum(self._rmdir(path) for path in sorted(cgroups() - self._cgroups, reverse=True)),
        }

    def _end(self) -> int:
        mine = {os.getpid(), os.getppid()}
        left = [pid for pid in {*processes(), *self._grouped()} if pid not in self._processes and pid not in mine]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left:
            time.sleep(0.5)  # a group can be removed once its members are reaped
        return len(left)

    def _grouped(self) -> set[int]:
        """Members of control groups that have come since: containers whose shim was killed."""
        found: set[int] = set()
        for path in cgroups() - self._cgroups:
            with contextlib.suppress(OSError):
                found |= {int(pid) for pid in Path(path, "cgroup.procs").read_text().split()}
        return found

    def _delete(self) -> int:
        left = namespaces() - self._namespaces
        for name in left:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        return len(left)

    @staticmethod
    def _rmdir(path: str) -> bool:
        try:
            os.rmdir(path)
        except OSError:
            return False
        return True
