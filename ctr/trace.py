"""``--trace``: one trace for this command, from here through daemon and shim, shown as a waterfall at its end."""

from __future__ import annotations

import os
import sys
import time

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.wire.messages import traces as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctr.context import Context

SERVICE = "pycontainerd.traces.v1.Traces"
_WIDTH = 40
_SETTLE = 0.3
"""Seconds to wait for the spans that shims report on their own time."""


class _Running:
    """The command's own span."""

    span: messages.Span | None = None


def begin(context: Context) -> None:
    """Start a trace: every call from here on carries its context (W3C trace context)."""
    trace_id, span_id = os.urandom(16).hex(), os.urandom(8).hex()
    context.metadata.append(("traceparent", f"00-{trace_id}-{span_id}-01"))
    _Running.span = messages.Span(
        trace_id=trace_id,
        span_id=span_id,
        name="pyctr " + context.spelling,
        start_unix_nano=time.time_ns(),
        process="pyctr",
    )


def show(context: Context) -> None:
    """Report our span, collect the others, and print them on stderr. Never fails: it is an extra."""
    span = _Running.span
    if span is None:
        return
    span.end_unix_nano = time.time_ns()
    daemon = context.daemon
    try:
        daemon.call(SERVICE, "Report", messages.ReportRequest(spans=[span]), Empty, timeout=2)
        time.sleep(_SETTLE)
        request = messages.GetTraceRequest(trace_id=span.trace_id)
        spans = daemon.call(SERVICE, "Get", request, messages.GetTraceResponse, timeout=2).spans
    except PycontainerdError as error:
        print(f"pyctr: no trace: {error}", file=sys.stderr)
        return
    finally:
        context.close()
    text = as_json(spans) if context.trace == "json" else waterfall(spans)
    print(text, file=sys.stderr)


def as_json(spans: list[messages.Span]) -> str:
    """One object a line."""
    from pycontainerd.client.jsontext import dumps

    return "\n".join(dumps({field[1]: getattr(span, field[1]) for field in span.FIELDS}) for span in spans)


def waterfall(spans: list[messages.Span]) -> str:
    """The spans as a tree, each with its place in time, its length and the process that did it."""
    if not spans:
        return "(the trace is empty)"
    first = min(span.start_unix_nano for span in spans)
    whole = max(span.end_unix_nano for span in spans) - first or 1
    ids = {span.span_id for span in spans}
    children: dict[str, list[messages.Span]] = {}
    for span in sorted(spans, key=lambda span: span.start_unix_nano):
        children.setdefault(span.parent_id if span.parent_id in ids else "", []).append(span)
    lines: list[str] = []
    pending = [(span, 0) for span in reversed(children.get("", []))]
    seen: set[str] = set()
    while pending:
        span, depth = pending.pop()
        if span.span_id in seen:  # a span that claims to be its own ancestor
            continue
        seen.add(span.span_id)
        lines.append(_line(span, depth, first, whole))
        pending += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]
    return "\n".join(lines)


def _line(span: messages.Span, depth: int, first: int, whole: int) -> str:
    begin = (span.start_unix_nano - first) * _WIDTH // whole
    length = max(1, (span.end_unix_nano - span.start_unix_nano) * _WIDTH // whole)
    bar = (" " * begin + "━" * length)[:_WIDTH].ljust(_WIDTH)
    took = (span.end_unix_nano - span.start_unix_nano) / 1e6
    name = "  " * depth + span.name
    failed = f"  ✗ {span.error}" if span.error else ""
    return f"{name:<48.48} {took:9.2f} ms  {bar}  {span.process}{failed}"
