from __future__ import annotations

import pytest

from pycontainerd.core.spans import no_span
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.metrics import Registry
from pycontainerd.rpc.observe import CallObserver, timed_spans
from pycontainerd.rpc.service import methods
from pycontainerd.rpc.tracing import SpanRecord, Tracer
from tests.unit.rpc.echo import EchoService


def test_engine_steps_are_timed_whether_traced_or_not() -> None:
    registry = Registry()
    span = timed_spans(no_span, registry)
    with span("gc.collect"):
        pass
    with pytest.raises(KeyError), span("gc.collect", digest="d"):
        raise KeyError
    assert 'pycontainerd_engine_seconds_count{step="gc.collect"} 2' in registry.text()


def test_calls_are_spans_and_latencies() -> None:
    registry, kept = Registry(), list[SpanRecord]()
    observer = CallObserver(Tracer([kept.append]), registry)
    method = methods([EchoService()])["/tests.echo.Echo/One"]
    call = Call(method.path, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "containerd-namespace": "n"})
    with observer.span(method, call):
        pass
    observer.finished(method, call, 5, 0.02)
    assert (kept[0].name, kept[0].attributes["namespace"]) == ("tests.echo.Echo/One", "n")
    assert 'pycontainerd_rpc_seconds_count{method="tests.echo.Echo/One",code="5"} 1' in registry.text()
