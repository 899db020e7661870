"""Metrics of cgroup version 2, from the container's one directory; a controller that is off leaves zeros."""

from __future__ import annotations

import os

from pycontainerd.linux.cgroup import flat, lines, number
from pycontainerd.wire.messages.cgroups_v2 import (
    CPUStat,
    HugeTlbStat,
    IOEntry,
    IOStat,
    MemoryEvents,
    MemoryStat,
    Metrics,
    PidsStat,
    PSIData,
    PSIStats,
    RdmaEntry,
    RdmaStat,
)

_CPU = {"nr_periods", "nr_throttled", "throttled_usec", "usage_usec", "user_usec", "system_usec", "nr_bursts"}
_MEMORY_FILES = {
    "usage": "memory.current",
    "usage_limit": "memory.max",
    "swap_usage": "memory.swap.current",
    "swap_limit": "memory.swap.max",
    "max_usage": "memory.peak",
    "swap_max_usage": "memory.swap.peak",
}
_SPLIT = {"workingset_refault": ("workingset_refault_anon", "workingset_refault_file")}
_SPLIT["workingset_activate"] = ("workingset_activate_anon", "workingset_activate_file")


def collect(folder: str) -> Metrics:
    """The metrics of the group at this directory. Raises OSError when it is gone."""
    os.stat(folder)
    return Metrics(
        pids=PidsStat(current=number(f"{folder}/pids.current"), limit=_limit(f"{folder}/pids.max")),
        cpu=_cpu(folder),
        memory=_memory(folder),
        rdma=RdmaStat(current=_rdma(f"{folder}/rdma.current"), limit=_rdma(f"{folder}/rdma.max")),
        io=_io(folder),
        hugetlb=_hugetlb(folder),
        memory_events=_events(folder),
    )


def _limit(path: str) -> int:
    value = number(path)
    return 0 if value == (1 << 64) - 1 else value


def _cpu(folder: str) -> CPUStat:
    counts = _flat(f"{folder}/cpu.stat")
    stat = CPUStat(psi=_pressure(f"{folder}/cpu.pressure"))
    for name in _CPU:
        setattr(stat, name, counts.get(name, 0))
    stat.burst_usec = counts.get("burst_usec", 0)
    return stat


def _memory(folder: str) -> MemoryStat:
    counts = _flat(f"{folder}/memory.stat")
    stat = MemoryStat(psi=_pressure(f"{folder}/memory.pressure"))
    for _, name, *_rest in MemoryStat.FIELDS:
        if name in _MEMORY_FILES:
            setattr(stat, name, number(f"{folder}/{_MEMORY_FILES[name]}"))
        elif name in _SPLIT:
            setattr(stat, name, counts.get(name, sum(counts.get(part, 0) for part in _SPLIT[name])))
        elif name != "psi":
            setattr(stat, name, counts.get(name, 0))
    return stat


def _events(folder: str) -> MemoryEvents:
    counts = _flat(f"{folder}/memory.events")
    return MemoryEvents(**{name: counts.get(name, 0) for _, name, *_ in MemoryEvents.FIELDS})


def _io(folder: str) -> IOStat:
    entries = []
    for words in lines(f"{folder}/io.stat"):
        major, colon, minor = words[0].partition(":") if words else ("", "", "")
        if not (colon and major.isdigit() and minor.isdigit()):
            continue
        pairs = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        values = {key: int(pairs[key]) for key in ("rbytes", "wbytes", "rios", "wios") if pairs.get(key, "").isdigit()}
        entries.append(IOEntry(major=int(major), minor=int(minor), **values))
    return IOStat(usage=entries, psi=_pressure(f"{folder}/io.pressure"))


def _pressure(path: str) -> PSIStats | None:
    """`some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and `full` alike; None where the kernel does not count it."""
    found = PSIStats()
    for words in lines(path):
        if words and words[0] in ("some", "full"):
            setattr(found, words[0], psi_data(words[1:]))
    return found if found.some is not None else None


def psi_data(words: list[str]) -> PSIData:
    """One line of a pressure file without its first word; what is no number counts as 0."""
    pairs = dict(word.split("=", 1) for word in words if "=" in word)
    data = PSIData()
    try:
        data.avg10, data.avg60 = float(pairs.get("avg10", 0)), float(pairs.get("avg60", 0))
        data.avg300, data.total = float(pairs.get("avg300", 0)), int(pairs.get("total", 0))
    except ValueError:
        return PSIData()
    return data


def _hugetlb(folder: str) -> list[HugeTlbStat]:
    found = []
    for name in sorted(os.listdir(folder)):
        if name.startswith("hugetlb.") and name.endswith(".current") and ".rsvd." not in name:
            size = name.split(".")[1]
            events = _flat(f"{folder}/hugetlb.{size}.events")
            found.append(
                HugeTlbStat(
                    current=number(f"{folder}/{name}"),
                    max=number(f"{folder}/hugetlb.{size}.max"),
                    pagesize=size,
                    failcnt=events.get("max", 0),
                )
            )
    return found


def _rdma(path: str) -> list[RdmaEntry]:
    found = []
    for words in lines(path):
        pairs = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        values = {key: int(value) if value.isdigit() else (1 << 32) - 1 for key, value in pairs.items()}
        found.append(
            RdmaEntry(device=words[0], hca_handles=values.get("hca_handle", 0), hca_objects=values.get("hca_object", 0))
        )
    return found


def _flat(path: str) -> dict[str, int]:
    try:
        return flat(path)
    except OSError:
        return {}
