"""Counters, gauges and histograms in Prometheus' text form (exposition format 0.0.4), and nothing more.

Kept small on purpose: an observation is a dictionary update, cheap enough to be always on.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Labels = tuple[str, ...]

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds."""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _series(name: str, labels: Sequence[str], values: Sequence[str], value: float) -> str:
    pairs = ",".join(f'{label}="{_escape(text)}"' for label, text in zip(labels, values, strict=True))
    number = repr(float(value)) if value % 1 else str(int(value))
    return f"{name}{{{pairs}}} {number}" if pairs else f"{name} {number}"


class Counter:
    """A number that only grows, one per combination of label values."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        self.name, self.help, self.labels = name, help, tuple(labels)
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}
        self._lock = threading.Lock()

    def add(self, amount: float = 1.0, *labels: str) -> None:
        """Add to the series of these label values."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0.0) + amount

    def lines(self) -> list[str]:
        """The samples."""
        with self._lock:
            return [_series(self.name, self.labels, key, value) for key, value in sorted(self._values.items())]


class Gauge:
    """A number read when asked for: ``read`` answers one value, or a mapping of label values to values."""

    kind = "gauge"

    def __init__(self, name: str, help: str, read: Callable[[], float | Mapping[str, float]], label: str = "") -> None:
        self.name, self.help, self._read, self._label = name, help, read, label

    def lines(self) -> list[str]:
        """The samples."""
        value = self._read()
        if isinstance(value, (int, float)):
            return [_series(self.name, (), (), value)]
        return [_series(self.name, (self._label,), (key,), number) for key, number in sorted(value.items())]


class Histogram:
    """Observations counted into buckets, with their sum."""

    kind = "histogram"

    def __init__(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> None:
        self.name, self.help, self.labels, self.buckets = name, help, tuple(labels), tuple(buckets)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation."""
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self.buckets) + 1)
            counts[bisect_left(self.buckets, value)] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + value

    def lines(self) -> list[str]:
        """The samples: cumulative buckets, sum and count."""
        with self._lock:
            state = [(key, list(counts), self._sums[key]) for key, counts in sorted(self._counts.items())]
        result: list[str] = []
        for key, counts, total in state:
            running = 0
            for bound, count in zip([*map(str, self.buckets), "+Inf"], counts, strict=True):
                running += count
                result.append(_series(f"{self.name}_bucket", (*self.labels, "le"), (*key, bound), running))
            result.extend(
                (
                    _series(f"{self.name}_sum", self.labels, key, total),
                    _series(f"{self.name}_count", self.labels, key, running),
                )
            )
        return result


class Registry:
    """The metrics of one daemon."""

    def __init__(self) -> None:
        self._metrics: list[Counter | Gauge | Histogram] = []

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """Make and register a counter."""
        metric = Counter(name, help, labels)
        self._metrics.append(metric)
        return metric

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram:
        """Make and register a histogram."""
        metric = Histogram(name, help, labels, buckets)
        self._metrics.append(metric)
        return metric

    def gauge(self, name: str, help: str, read: Callable[[], float | Mapping[str, float]], label: str = "") -> Gauge:
        """Make and register a gauge that is read at scrape time."""
        metric = Gauge(name, help, read, label)
        self._metrics.append(metric)
        return metric

    def text(self) -> str:
        """Everything, in exposition format."""
        lines: list[str] = []
        for metric in self._metrics:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
        return "\n".join(lines) + "\n"
