from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.rpc.tracing import SpanRecord, Tracer, TraceRing, current_trace_id, parse_traceparent, traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{PARENT}-01"


def span(
    trace: str = TRACE, id: str = "1" * 16, parent: str = "", *, start: int = 0, end: int = 10, **more: str
) -> SpanRecord:
    return SpanRecord(trace, id, parent, more.get("name", "x"), start, end, {"container": more.get("container", "")})


def test_a_valid_header_is_read() -> None:
    parsed = parse_traceparent(HEADER)
    assert parsed is not None
    context, sampled = parsed
    assert (context.trace_id, context.span_id, sampled) == (TRACE, PARENT, True)
    assert parse_traceparent(HEADER[:-1] + "0") == (context, False)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-extra",
        f"00-{TRACE[1:]}-{PARENT}-01",
    ],
)
def test_other_headers_are_ignored(header: str) -> None:
    assert parse_traceparent(header) is None


def test_a_later_version_may_carry_more() -> None:
    assert parse_traceparent(f"01-{TRACE}-{PARENT}-01-more") is not None


@given(st.text(max_size=80))
def test_no_header_raises(header: str) -> None:
    parse_traceparent(header)


def test_off_means_the_same_null_object() -> None:
    tracer = Tracer()
    assert tracer.server("a", "") is tracer.server("b", "") is tracer.span("c")
    assert traceparent() == ""
    assert tracer.server("a", HEADER[:-1] + "0") is tracer.span("c")


def test_a_sampled_request_gets_spans_that_nest() -> None:
    kept: list[SpanRecord] = []
    tracer = Tracer([kept.append])
    with tracer.server("server", HEADER, namespace="n"):
        assert current_trace_id() == TRACE
        with tracer.span("engine", digest="d"):
            inner = traceparent()
        with pytest.raises(KeyError), tracer.span("bad"):
            raise KeyError("lost")
    assert current_trace_id() == ""
    engine, bad, server = kept
    assert (server.trace_id, server.parent_id, server.server) == (TRACE, PARENT, True)
    assert engine.parent_id == bad.parent_id == server.span_id
    assert inner == f"00-{TRACE}-{engine.span_id}-01"
    assert bad.error == "'lost'"
    assert server.start <= engine.start <= engine.end <= server.end


def test_a_ratio_records_requests_that_nobody_asked_for() -> None:
    kept: list[SpanRecord] = []
    with Tracer([kept.append], ratio=1.0).server("a", ""):
        pass
    assert kept[0].parent_id == ""
    assert len(kept[0].trace_id) == 32


def test_the_ring_forgets_the_oldest_trace_and_bounds_each() -> None:
    ring = TraceRing(capacity=2, max_spans=3)
    for trace in ("a" * 32, "b" * 32, "c" * 32):
        for number in range(5):
            ring.add(span(trace, f"{number:016x}", start=number))
    assert ring.get("a" * 32) == []
    assert len(ring.get("c" * 32)) == 3
    assert [found.trace_id for found in ring.list()] == ["c" * 32, "b" * 32]
    assert len(ring.list(limit=1)) == 1


def test_a_summary_names_the_root_even_when_its_parent_never_reported() -> None:
    ring = TraceRing()
    ring.add(span(id="2" * 16, parent="1" * 16, start=5, end=30, name="child", container="c1"))
    ring.add(span(id="1" * 16, parent="9" * 16, start=2, end=20, name="root"))
    (found,) = ring.list(container="c1")
    assert (found.root, found.start, found.duration, found.spans) == ("root", 2, 28, 2)
    assert ring.list(container="other") == []
