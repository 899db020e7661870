"""OTLP export of finished spans: the one place where the OpenTelemetry SDK is imported, and only when configured.

Spans keep the ids they were made with, whoever made them: ours, a shim's or a client's become one trace in the
collector. Batching, retries and the wire format are the SDK's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from pycontainerd.daemon.config import TracingConfig
    from pycontainerd.rpc.tracing import SpanRecord

SERVICE = "pycontainerd"
"""``service.name`` of the daemon's spans; other processes' are named after the process."""
FLUSH_TIMEOUT_MS = 5000
"""How long shutting down waits for the collector."""


def wanted(config: TracingConfig, environment: Mapping[str, str]) -> bool:
    """Whether an exporter is configured, by us or by the standard variables."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").lower() == "none":
        return False
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return bool(config.endpoint or any(environment.get(name) for name in names))


class OtlpExporter:
    """A sink for the tracer. Calling it is cheap and never blocks: a full queue drops the span."""

    def __init__(self, config: TracingConfig) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._resource = Resource.create
        self._resources: dict[str, Resource] = {}
        self._processor = BatchSpanProcessor(_exporter(config))

    def __call__(self, span: SpanRecord) -> None:
        """Queue one finished span."""
        self._processor.on_end(self._readable(span))

    def close(self) -> None:
        """Send what is queued, within a bound, and stop."""
        self._processor.force_flush(FLUSH_TIMEOUT_MS)
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: SpanRecord) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
        from opentelemetry.trace.status import Status, StatusCode

        def context(span_id: str) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags)

        return ReadableSpan(
            name=span.name,
            context=context(span.span_id),
            parent=context(span.parent_id) if span.parent_id else None,
            resource=self._resource_of(span.process),
            attributes=dict(span.attributes),
            kind=SpanKind.SERVER if span.server else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.start,
            end_time=span.end,
        )

    def _resource_of(self, process: str) -> Resource:
        if process not in self._resources:
            name = os.environ.get("OTEL_SERVICE_NAME") or SERVICE
            self._resources[process] = self._resource(
                {"service.name": name if process == "daemon" else f"{name}-{process}"}
            )
        return self._resources[process]


def _exporter(config: TracingConfig) -> SpanExporter:
    """The exporter for the configured protocol; what is not configured the exporter takes from the environment."""
    variables = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = config.protocol or next((os.environ[name] for name in variables if os.environ.get(name)), "grpc")
    headers = dict(config.headers) or None
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

        return HttpExporter(endpoint=_traces_url(config.endpoint) or None, headers=headers)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

    insecure = config.endpoint.startswith("http://") if config.endpoint else None
    return GrpcExporter(endpoint=config.endpoint or None, insecure=insecure, headers=headers)


def _traces_url(endpoint: str) -> str:
    """A base URL completed with the path OTLP/HTTP prescribes; one that has a path stays as it is."""
    rest = endpoint.partition("://")[2]
    return endpoint.rstrip("/") + "/v1/traces" if endpoint and "/" not in rest.rstrip("/") else endpoint
