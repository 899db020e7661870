"""Resource use of containers: the cgroup metrics of a task, v1 or v2, as the figures that ``stats`` shows."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.cgroups_v1 import Metrics as MetricsV1
    from pycontainerd.wire.messages.cgroups_v2 import Metrics as MetricsV2
    from pycontainerd.wire.messages.types import Metric

UNLIMITED = 1 << 60
"""A memory limit from here on is none."""


class Sample:
    """One look: CPU time in nanoseconds since start, memory in bytes (without page cache), block IO in bytes."""

    __slots__ = ("at", "cpu", "limit", "memory", "pids", "read", "written")

    def __init__(self) -> None:
        self.at = self.cpu = self.memory = self.limit = self.pids = self.read = self.written = 0


def sample(metric: Metric) -> Sample | None:
    """The figures of a metric; None for a kind that is not known."""
    if metric.data is None:
        return None
    kind = metric.data.type_url.rpartition("/")[2]
    result = Sample()
    if metric.timestamp is not None:
        result.at = metric.timestamp.seconds * 10**9 + metric.timestamp.nanos
    if kind == "io.containerd.cgroups.v1.Metrics":
        from pycontainerd.wire.messages.cgroups_v1 import Metrics as First

        _from_v1(result, First.decode(metric.data.value))
    elif kind == "io.containerd.cgroups.v2.Metrics":
        from pycontainerd.wire.messages.cgroups_v2 import Metrics as Second

        _from_v2(result, Second.decode(metric.data.value))
    else:
        return None
    return result


def _from_v1(result: Sample, metrics: MetricsV1) -> None:
    if metrics.cpu is not None and metrics.cpu.usage is not None:
        result.cpu = metrics.cpu.usage.total
    if metrics.memory is not None and metrics.memory.usage is not None:
        usage = metrics.memory.usage
        result.memory = max(0, usage.usage - metrics.memory.total_inactive_file)
        result.limit = usage.limit
    if metrics.pids is not None:
        result.pids = metrics.pids.current
    if metrics.blkio is not None:
        for entry in metrics.blkio.io_service_bytes_recursive:
            if entry.op == "Read":
                result.read += entry.value
            elif entry.op == "Write":
                result.written += entry.value


def _from_v2(result: Sample, metrics: MetricsV2) -> None:
    if metrics.cpu is not None:
        result.cpu = metrics.cpu.usage_usec * 1000
    if metrics.memory is not None:
        result.memory = max(0, metrics.memory.usage - metrics.memory.inactive_file)
        result.limit = metrics.memory.usage_limit
    if metrics.pids is not None:
        result.pids = metrics.pids.current
    if metrics.io is not None:
        for entry in metrics.io.usage:
            result.read += entry.rbytes
            result.written += entry.wbytes


def network(pid: int) -> tuple[int, int]:
    """Bytes received and sent by the interfaces of a process's network namespace, without the loopback; 0 when the
    process is gone."""
    received = sent = 0
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii", errors="replace") as file:
            for line in file:
                name, colon, figures = line.partition(":")
                if colon and name.strip() != "lo":
                    fields = figures.split()
                    received, sent = received + int(fields[0]), sent + int(fields[8])
    except (OSError, ValueError, IndexError):
        pass
    return received, sent
