"""pycontainerd.traces.v1: spans from shims and clients in, the last traces out (our own)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.traces.v1 import traces_pb2 as pb
from pycontainerd.core.errors import InvalidArgument, NotFound
from pycontainerd.rpc.service import Service
from pycontainerd.rpc.tracing import SpanRecord, parse_traceparent

if TYPE_CHECKING:
    from pycontainerd.rpc.call import Call
    from pycontainerd.rpc.tracing import Tracer, TraceRing

MAX_SPANS = 1000
"""Most spans one report may carry."""


class TracesService(Service):
    """The Traces service. Not namespaced: a trace may cross namespaces."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Traces"]

    def __init__(self, tracer: Tracer, ring: TraceRing) -> None:
        self._tracer, self._ring = tracer, ring

    async def Report(self, request: pb.ReportRequest, call: Call) -> Empty:
        """Take in finished spans; they go where the daemon's own go, under their own ids."""
        if len(request.spans) > MAX_SPANS:
            raise InvalidArgument("number of spans", len(request.spans), f"at most {MAX_SPANS} fit in one report")
        for span in [_value(message) for message in request.spans]:
            self._tracer.finish(span)
        return Empty()

    async def List(self, request: pb.ListTracesRequest, call: Call) -> pb.ListTracesResponse:
        """The last traces, the latest first."""
        found = self._ring.list(request.limit, request.container)
        return pb.ListTracesResponse(
            traces=[
                pb.TraceSummary(
                    trace_id=trace.trace_id,
                    root=trace.root,
                    start_unix_nano=trace.start,
                    duration_nano=trace.duration,
                    span_count=trace.spans,
                    error=trace.error,
                )
                for trace in found
            ]
        )

    async def Get(self, request: pb.GetTraceRequest, call: Call) -> pb.GetTraceResponse:
        """The spans of one trace."""
        spans = self._ring.get(request.trace_id)
        if not spans:
            raise NotFound("trace", request.trace_id, "only the last ones are kept")
        return pb.GetTraceResponse(spans=map(_message, spans))


def _value(message: pb.Span) -> SpanRecord:
    if parse_traceparent(f"00-{message.trace_id}-{message.span_id}-01") is None:
        raise InvalidArgument("span", f"{message.trace_id}/{message.span_id}"[:64], "ids are 32 and 16 hex digits")
    return SpanRecord(
        message.trace_id,
        message.span_id,
        message.parent_id,
        message.name,
        message.start_unix_nano,
        message.end_unix_nano,
        dict(message.attributes),
        message.error,
        message.process or "client",
    )


def _message(span: SpanRecord) -> pb.Span:
    return pb.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        start_unix_nano=span.start,
        end_unix_nano=span.end,
        attributes={key: str(value) for key, value in span.attributes.items()},
        error=span.error,
        process=span.process,
    )
