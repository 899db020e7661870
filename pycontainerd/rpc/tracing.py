"""Traces: the daemon's own spans, those reported by shims and clients, and a ring of the last of them.

Context travels as W3C ``traceparent`` (https://www.w3.org/TR/trace-context/). A request is recorded when its client
asked for it (the sampled flag) or when the tracer's own sampling picks it; everything else gets a shared null span.
No SDK here: a finished span is handed to ``sinks``, and the daemon puts its exporter there.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Attribute = str | int | float | bool

_NULL: AbstractContextManager[None] = nullcontext()
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A finished span; ids are lower-case hex (32 and 16), times are nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: int
    end: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str = ""
    process: str = "daemon"
    server: bool = False


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A trace at a glance; ``start`` and ``duration`` in nanoseconds."""

    trace_id: str
    root: str
    start: int
    duration: int
    spans: int
    error: str


@dataclass(frozen=True, slots=True)
class Context:
    """Where a new span hangs: the ids of its parent."""

    trace_id: str
    span_id: str


_current: ContextVar[Context | None] = ContextVar("trace_context", default=None)


def parse_traceparent(header: str) -> tuple[Context, bool] | None:
    """The context and its sampled flag; None for anything that is not a valid header of version 00 or a later one."""
    parts = header.strip().split("-")
    if len(parts) < 4 or (parts[0] == "00" and len(parts) != 4):
        return None
    version, trace_id, span_id, flags = parts[:4]
    lengths_fit = (len(version), len(trace_id), len(span_id), len(flags)) == (2, 32, 16, 2)
    if not lengths_fit or version == "ff" or not _HEX.issuperset(version + trace_id + span_id + flags):
        return None
    if trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    return Context(trace_id, span_id), bool(int(flags, 16) & 1)


class TraceRing:
    """The last ``capacity`` traces, each with at most ``max_spans`` spans; safe from any thread."""

    def __init__(self, capacity: int = 128, max_spans: int = 2000) -> None:
        self._capacity, self._max_spans = capacity, max_spans
        self._traces: OrderedDict[str, list[SpanRecord]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, span: SpanRecord) -> None:
        """Keep a span; the oldest trace makes room."""
        with self._lock:
            spans = self._traces.setdefault(span.trace_id, [])
            if len(spans) < self._max_spans:
                spans.append(span)
            while len(self._traces) > self._capacity:
                self._traces.popitem(last=False)

    def get(self, trace_id: str) -> list[SpanRecord]:
        """The spans of a trace, by start; empty when it is not (or no longer) known."""
        with self._lock:
            spans = list(self._traces.get(trace_id, ()))
        return sorted(spans, key=lambda span: span.start)

    def list(self, limit: int = 0, container: str = "") -> list[TraceSummary]:
        """Summaries, the latest first; ``limit`` 0 means all, ``container`` keeps those that touched it."""
        with self._lock:
            traces = [(trace_id, list(spans)) for trace_id, spans in reversed(self._traces.items())]
        if container:
            traces = [(i, spans) for i, spans in traces if any(_touches(span, container) for span in spans)]
        return [_summary(trace_id, spans) for trace_id, spans in (traces[:limit] if limit > 0 else traces)]


def _touches(span: SpanRecord, container: str) -> bool:
    return span.attributes.get("container") == container or span.attributes.get("container_id") == container


def _summary(trace_id: str, spans: Sequence[SpanRecord]) -> TraceSummary:
    known = {span.span_id for span in spans}
    # The root may live in a process that never reported: then the earliest span whose parent is missing stands for it.
    root = min((span for span in spans if span.parent_id not in known), key=lambda span: span.start, default=spans[0])
    start = min(span.start for span in spans)
    error = root.error or next((span.error for span in spans if span.error), "")
    return TraceSummary(trace_id, root.name, start, max(span.end for span in spans) - start, len(spans), error)


class _OpenSpan:
    """A span being timed; a context manager that makes itself current."""

    __slots__ = ("_attributes", "_context", "_name", "_parent", "_server", "_start", "_token", "_tracer")

    def __init__(
        self, tracer: Tracer, name: str, parent: Context, attributes: Mapping[str, Attribute], *, server: bool
    ) -> None:
        self._tracer, self._name, self._parent, self._attributes = tracer, name, parent, attributes
        self._server = server
        self._context = Context(parent.trace_id, os.urandom(8).hex())
        self._token: Token[Context | None] | None = None
        self._start = 0

    def __enter__(self) -> _OpenSpan:
        self._token = _current.set(self._context)
        self._start = time.time_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> Literal[False]:
        end = time.time_ns()
        if self._token is not None:
            _current.reset(self._token)
        text = "" if error is None else (str(error) or type(error).__name__)
        self._tracer.finish(
            SpanRecord(
                self._context.trace_id,
                self._context.span_id,
                self._parent.span_id,
                self._name,
                self._start,
                end,
                self._attributes,
                text,
                server=self._server,
            )
        )
        return False


class Tracer:
    """Makes spans and hands finished ones to the sinks. ``ratio`` is the share of unasked-for requests recorded."""

    def __init__(self, sinks: Sequence[Callable[[SpanRecord], None]] = (), ratio: float = 0.0) -> None:
        self._sinks = tuple(sinks)
        self._ratio = ratio

    def span(self, name: str, /, **attributes: Attribute) -> AbstractContextManager[object]:
        """``core.spans.Span``: a child of the current span; nothing outside of a recorded request."""
        parent = _current.get()
        if parent is None:
            return _NULL
        return _OpenSpan(self, name, parent, attributes, server=False)

    def server(self, name: str, traceparent: str, **attributes: Attribute) -> AbstractContextManager[object]:
        """The span of an incoming request."""
        if not traceparent and not self._ratio:
            return _NULL
        parsed = parse_traceparent(traceparent) if traceparent else None
        if parsed is None:
            if self._ratio <= 0 or random.random() >= self._ratio:
                return _NULL
            parent = Context(os.urandom(16).hex(), "")
        elif parsed[1]:
            parent = parsed[0]
        else:
            return _NULL
        return _OpenSpan(self, name, parent, attributes, server=True)

    def finish(self, span: SpanRecord) -> None:
        """Hand a finished span, our own or a reported one, to the sinks."""
        for sink in self._sinks:
            sink(span)


def traceparent() -> str:
    """The header that makes a downstream call a child of the current span; empty when nothing is recorded."""
    context = _current.get()
    return f"00-{context.trace_id}-{context.span_id}-01" if context else ""


def current_trace_id() -> str:
    """The id of the trace being recorded, for log lines; empty when none is."""
    context = _current.get()
    return context.trace_id if context else ""
