"""Metrics of cgroup version 1, from one directory a controller; a controller that is not there leaves its part out."""

from __future__ import annotations

import os

from pycontainerd.linux.cgroup import flat, lines, number
from pycontainerd.wire.messages.cgroups_v1 import (
    BlkIOEntry,
    BlkIOStat,
    CPUStat,
    CPUUsage,
    HugetlbStat,
    MemoryEntry,
    MemoryOomControl,
    MemoryStat,
    Metrics,
    PidsStat,
    Throttle,
)

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_RENAMED = {
    "pg_pg_in": "pgpgin",
    "pg_pg_out": "pgpgout",
    "pg_fault": "pgfault",
    "pg_maj_fault": "pgmajfault",
    "hierarchical_swap_limit": "hierarchical_memsw_limit",
}
_ENTRIES = {"usage": "memory", "swap": "memory.memsw", "kernel": "memory.kmem", "kernel_tcp": "memory.kmem.tcp"}
_BLKIO = {
    "io_service_bytes_recursive": ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"),
    "io_serviced_recursive": ("blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"),
    "io_queued_recursive": ("blkio.bfq.io_queued_recursive", "blkio.io_queued_recursive"),
    "io_service_time_recursive": ("blkio.bfq.io_service_time_recursive", "blkio.io_service_time_recursive"),
    "io_wait_time_recursive": ("blkio.bfq.io_wait_time_recursive", "blkio.io_wait_time_recursive"),
    "io_merged_recursive": ("blkio.bfq.io_merged_recursive", "blkio.io_merged_recursive"),
    "io_time_recursive": ("blkio.bfq.time_recursive", "blkio.time_recursive"),
    "sectors_recursive": ("blkio.bfq.sectors_recursive", "blkio.sectors_recursive"),
}


def collect(dirs: dict[str, str]) -> Metrics:
    """The metrics of the groups at these directories. Raises OSError when the first of them is gone."""
    os.stat(next(iter(dirs.values())))
    metrics = Metrics()
    if "pids" in dirs:
        metrics.pids = _pids(dirs["pids"])
    if "cpu" in dirs or "cpuacct" in dirs:
        metrics.cpu = CPUStat(usage=_usage(dirs.get("cpuacct", "")), throttling=_throttling(dirs.get("cpu", "")))
    if "memory" in dirs:
        metrics.memory = _memory(dirs["memory"])
        metrics.memory_oom_control = _oom(dirs["memory"])
    if "hugetlb" in dirs:
        metrics.hugetlb = _hugetlb(dirs["hugetlb"])
    if "blkio" in dirs:
        metrics.blkio = _blkio(dirs["blkio"])
    return metrics


def _pids(folder: str) -> PidsStat:
    limit = number(f"{folder}/pids.max")
    return PidsStat(current=number(f"{folder}/pids.current"), limit=0 if limit >= 1 << 63 else limit)


def _usage(folder: str) -> CPUUsage:
    if not folder:
        return CPUUsage()
    times = _flat(f"{folder}/cpuacct.stat")
    each = lines(f"{folder}/cpuacct.usage_percpu")
    return CPUUsage(
        total=number(f"{folder}/cpuacct.usage"),
        user=times.get("user", 0) * _TICK,
        kernel=times.get("system", 0) * _TICK,
        per_cpu=[int(word) for word in each[0]] if each else [],
    )


def _throttling(folder: str) -> Throttle:
    counts = _flat(f"{folder}/cpu.stat") if folder else {}
    return Throttle(
        periods=counts.get("nr_periods", 0),
        throttled_periods=counts.get("nr_throttled", 0),
        throttled_time=counts.get("throttled_time", 0),
    )


def _memory(folder: str) -> MemoryStat:
    counts = _flat(f"{folder}/memory.stat")
    stat = MemoryStat()
    for _, name, *_rest in MemoryStat.FIELDS:
        if name in _ENTRIES:
            setattr(stat, name, _entry(folder, _ENTRIES[name]))
            continue
        plain = name.removeprefix("total_")
        key = _RENAMED.get(plain, plain)
        setattr(stat, name, counts.get(f"total_{key}" if plain != name else key, 0))
    return stat


def _entry(folder: str, prefix: str) -> MemoryEntry:
    return MemoryEntry(
        limit=number(f"{folder}/{prefix}.limit_in_bytes"),
        usage=number(f"{folder}/{prefix}.usage_in_bytes"),
        max=number(f"{folder}/{prefix}.max_usage_in_bytes"),
        failcnt=number(f"{folder}/{prefix}.failcnt"),
    )


def _oom(folder: str) -> MemoryOomControl:
    control = _flat(f"{folder}/memory.oom_control")
    return MemoryOomControl(
        oom_kill_disable=control.get("oom_kill_disable", 0),
        under_oom=control.get("under_oom", 0),
        oom_kill=control.get("oom_kill", 0),
    )


def _hugetlb(folder: str) -> list[HugetlbStat]:
    found = []
    for name in sorted(os.listdir(folder)):
        if name.startswith("hugetlb.") and name.endswith(".usage_in_bytes") and ".rsvd." not in name:
            size = name.split(".")[1]
            found.append(
                HugetlbStat(
                    usage=number(f"{folder}/{name}"),
                    max=number(f"{folder}/hugetlb.{size}.max_usage_in_bytes"),
                    failcnt=number(f"{folder}/hugetlb.{size}.failcnt"),
                    pagesize=size,
                )
            )
    return found


def _blkio(folder: str) -> BlkIOStat:
    stat = BlkIOStat()
    for name, files in _BLKIO.items():
        rows = next((rows for rows in (lines(f"{folder}/{file}") for file in files) if rows), [])
        setattr(stat, name, [entry for entry in map(blkio_entry, rows) if entry is not None])
    return stat


def blkio_entry(words: list[str]) -> BlkIOEntry | None:
    """A line `major:minor [operation] value`; None for totals and whatever else."""
    if len(words) not in (2, 3) or ":" not in words[0] or not words[-1].isdigit():
        return None
    major, _, minor = words[0].partition(":")
    if not (major.isdigit() and minor.isdigit()):
        return None
    operation = words[1] if len(words) == 3 else ""
    device = _device(words[0])
    return BlkIOEntry(op=operation, device=device, major=int(major), minor=int(minor), value=int(words[-1]))


def _device(numbers: str) -> str:
    try:
        return "/dev/" + os.readlink(f"/sys/dev/block/{numbers}").rpartition("/")[2]
    except OSError:
        return ""


def _flat(path: str) -> dict[str, int]:
    try:
        return flat(path)
    except OSError:
        return {}
