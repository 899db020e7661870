"""What is seen of every call: its server span, its latency, its crashes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from pycontainerd.core.spans import Span
    from pycontainerd.rpc.call import Call
    from pycontainerd.rpc.metrics import Registry
    from pycontainerd.rpc.service import Method
    from pycontainerd.rpc.tracing import Tracer

log = structlog.get_logger(__name__)


class CallObserver:
    """The daemon's ``dispatch.Observer``."""

    def __init__(self, tracer: Tracer, metrics: Registry) -> None:
        self._tracer = tracer
        self._seconds = metrics.histogram(
            "pycontainerd_rpc_seconds", "Time to answer a call; streams until they end.", ("method", "code")
        )

    def span(self, method: Method, call: Call) -> AbstractContextManager[object]:
        """The server span, with the namespace on it."""
        parent = call.traceparent
        return self._tracer.server(method.path[1:], parent, transport=call.transport, namespace=call.optional_namespace)

    def finished(self, method: Method, call: Call, code: int, seconds: float) -> None:
        """Count the call."""
        self._seconds.observe(seconds, method.path[1:], str(code))

    def crashed(self, method: Method, call: Call, error: BaseException) -> None:
        """Log the traceback; the client only gets a sentence."""
        log.error("a request hit a bug", method=method.path, exc_info=error)


def timed_spans(inner: Span, metrics: Registry) -> Span:
    """A span callback that also counts how long each kind of engine work takes, traced or not."""
    seconds = metrics.histogram("pycontainerd_engine_seconds", "Time spent in an engine's step.", ("step",))

    @contextmanager
    def span(name: str, /, **attributes: str | int | float | bool) -> Iterator[object]:
        started = time.perf_counter()
        try:
            with inner(name, **attributes) as opened:
                yield opened
        finally:
            seconds.observe(time.perf_counter() - started, name)

    return span
