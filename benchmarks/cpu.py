"""Processor time of a cycle: what a timing on a busy machine cannot tell."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from benchmarks import peers
from benchmarks.cycle import Api
from benchmarks.memory import processes
from benchmarks.report import Report, Row
from pycontainerd.linux import cgroup

GROUP, CONTAINERS = "bench.cpu", "bench"


def root() -> str:
    """The mount point of the hierarchy that counts processor time."""
    known = cgroup.mounted()
    return known.v1["cpuacct"][0] if "cpuacct" in known.v1 else known.v2[0] if known.v2 else ""


def used(folder: str) -> float:
    """Milliseconds a group has used, 0 while it does not exist."""
    return cgroup.number(f"{folder}/cpuacct.usage") / 1e6 or _used_v2(folder)


def _used_v2(folder: str) -> float:
    try:
        return cgroup.flat(f"{folder}/cpu.stat").get("usage_usec", 0) / 1e3
    except OSError:
        return 0.0


def parent(pid: int) -> int:
    """The parent's pid, 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def measure(address: str, binary: str, chain: str, count: int) -> float:
    """Milliseconds of daemon, template, shims, runtime and container for one cycle.

    The daemon stays in the group it is put into; `clean` removes that once the daemon has ended.
    """
    api = Api(address, binary)
    for _ in range(3):
        api.cycle(chain)
    place = address.rpartition("/")[0]
    folder, containers = f"{root()}/{GROUP}.{place.rpartition('/')[2]}", f"{root()}/{CONTAINERS}"
    os.makedirs(folder, exist_ok=True)
    daemons = {pid for pid, line in processes() if place in line}
    for pid in daemons | {pid for pid, _ in processes() if parent(pid) in daemons}:
        with contextlib.suppress(OSError):
            cgroup.join(folder, pid)
    before = used(folder) + used(containers)
    for _ in range(count):
        api.cycle(chain)
    return (used(folder) + used(containers) - before) / count


def clean() -> None:
    """Remove the groups of daemons that have ended."""
    for path in Path(root()).glob(f"{GROUP}.*"):
        for _ in range(100):
            with contextlib.suppress(OSError):
                path.rmdir()
                break
            time.sleep(0.05)


def run(report: Report, ours: str, theirs: str, chain: str, count: int = 20) -> None:
    """Both daemons, as they come and on the same runtime."""
    for label, mine, other in (("as it comes (crun | runc)", "", ""), ("same runtime (runc)", "runc", "runc")):
        us, them = measure(ours, mine, chain, count), measure(theirs, other, chain, count)
        report.add(Row(f"processor time of a cycle, {label}", us, them, "ms", peers.their_name()))
