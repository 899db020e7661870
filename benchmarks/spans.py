"""Where the time of a cycle goes: the spans of traced cycles, from the daemon's ring of traces."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from typing import Any

from benchmarks.cycle import Api
from benchmarks.report import Report, median
from pycontainerd.api.traces.v1 import traces_pb2 as traces

MILLION = 1_000_000


def traced(api: Api, chain: str) -> list[Any]:
    """The spans of one cycle, oldest first."""
    trace = secrets.token_hex(16)
    plain = api.metadata
    api.metadata = (*plain, ("traceparent", f"00-{trace}-{secrets.token_hex(8)}-01"))
    try:
        api.cycle(chain)
    finally:
        api.metadata = plain
    time.sleep(0.02)  # the shim reports its last spans after its answer
    get: Any = api.channel.unary_unary(
        "/pycontainerd.traces.v1.Traces/Get", lambda m: m.SerializeToString(), traces.GetTraceResponse.FromString
    )
    return sorted(get(traces.GetTraceRequest(trace_id=trace), timeout=10).spans, key=lambda s: int(s.start_unix_nano))


def table(cycles: list[list[Any]]) -> str:
    """Median milliseconds of each step, indented below the step it is part of, and what its own parts leave over."""
    took: dict[tuple[str, ...], list[float]] = defaultdict(list)
    owner: dict[tuple[str, ...], str] = {}
    for spans in cycles:
        known = {span.span_id: span for span in spans}
        for span in spans:
            path = _path(span, known)
            took[path].append((span.end_unix_nano - span.start_unix_nano) / MILLION)
            owner[path] = span.process
    lines = [f"{'step of a cycle, traced':54} {'where':8} {'ms':>8} {'of its own':>11}"]
    for path, durations in _nested(took):
        parts = [parts for other, parts in took.items() if other[:-1] == path]
        own = median(durations) - sum(median(part) * len(part) / len(durations) for part in parts)
        name = "  " * (len(path) - 1) + path[-1]
        lines.append(f"{name:54} {owner[path]:8} {median(durations):8.2f} {max(own, 0.0):11.2f}")
    return "\n".join(lines)


def _path(span: Any, known: dict[str, Any]) -> tuple[str, ...]:
    """The names from the outermost span to this one."""
    names: list[str] = []
    while span is not None:
        names.append(span.name.removeprefix("containerd.services.").removeprefix("pycontainerd."))
        span = known.get(span.parent_id)
    return tuple(reversed(names))


def _nested(took: dict[tuple[str, ...], list[float]]) -> list[tuple[tuple[str, ...], list[float]]]:
    """Parents before their parts, each level in the order in which it was first seen."""
    order = {path: number for number, path in enumerate(took)}
    return sorted(took.items(), key=lambda item: [order.get(item[0][: n + 1], 0) for n in range(len(item[0]))])


def run(report: Report, ours: str, chain: str, count: int = 20) -> None:
    """The table for cycles as they come."""
    api = Api(ours)
    for _ in range(3):
        api.cycle(chain)
    report.note(table([traced(api, chain) for _ in range(count)]))
