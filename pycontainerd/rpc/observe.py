"""What is seen of every call: its server span, its latency, its crashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

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
