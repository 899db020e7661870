"""Spans against a real OTLP receiver: a small TraceService over gRPC, and one over HTTP."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc

from pycontainerd.daemon.config import TracingConfig
from pycontainerd.daemon.telemetry import OtlpExporter, wanted
from pycontainerd.rpc.tracing import SpanRecord, Tracer

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Receiver(rpc.TraceServiceServicer):
    """Keeps what it is sent, as (service name, span)."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.metadata: dict[str, str] = {}

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata = dict(context.invocation_metadata()) if context else self.metadata
        for resource in request.resource_spans:
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        return pb.ExportTraceServiceResponse()


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    kept = Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    rpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, f"http://127.0.0.1:{port}"
    server.stop(0)


def test_spans_arrive_with_their_own_ids_whoever_made_them(receiver: tuple[Receiver, str]) -> None:
    kept, endpoint = receiver
    exporter = OtlpExporter(TracingConfig(endpoint=endpoint, headers={"x-token": "secret"}))
    tracer = Tracer([exporter])
    with (
        tracer.server("containerd.services.tasks.v1.Tasks/Create", f"00-{TRACE}-{PARENT}-01", namespace="n"),
        pytest.raises(ValueError, match="broken"),
        tracer.span("task.create", container="c"),
    ):
        raise ValueError("broken")
    tracer.finish(SpanRecord(TRACE, "1" * 16, PARENT, "runtime create", 5, 9, {"pid": 7}, process="shim"))
    exporter.close()
    spans = {span.name: (service, span) for service, span in kept.spans}
    service, server = spans["containerd.services.tasks.v1.Tasks/Create"]
    assert service == "pycontainerd"
    assert (server.trace_id.hex(), server.parent_span_id.hex(), server.kind) == (TRACE, PARENT, 2)
    engine = spans["task.create"][1]
    assert engine.parent_span_id == server.span_id
    assert (engine.status.code, engine.status.message) == (2, "broken")
    assert [(item.key, item.value.string_value) for item in engine.attributes] == [("container", "c")]
    service, shim = spans["runtime create"]
    assert service == "pycontainerd-shim"
    assert (shim.span_id.hex(), shim.start_time_unix_nano, shim.end_time_unix_nano) == ("1" * 16, 5, 9)
    assert kept.metadata["x-token"] == "secret"


def test_over_http_too() -> None:
    kept = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            kept.Export(pb.ExportTraceServiceRequest.FromString(body), None)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        exporter = OtlpExporter(TracingConfig(endpoint=endpoint, protocol="http/protobuf"))
        with Tracer([exporter], ratio=1.0).server("s", ""):
            pass
        exporter.close()
        server.shutdown()
    assert [span.name for _, span in kept.spans] == ["s"]


@pytest.mark.parametrize(
    ("config", "environment", "expected"),
    [
        (TracingConfig(), {}, False),
        (TracingConfig(endpoint="http://x"), {}, True),
        (TracingConfig(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        (TracingConfig(), {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        (TracingConfig(endpoint="http://x"), {"OTEL_SDK_DISABLED": "true"}, False),
        (TracingConfig(endpoint="http://x"), {"OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_when_spans_are_exported(config: TracingConfig, environment: dict[str, str], expected: bool) -> None:
    assert wanted(config, environment) is expected


def test_a_daemon_that_does_not_export_never_imports_the_sdk() -> None:
    code = "import sys, pycontainerd.daemon.serve; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert done.stdout.strip() == "[]"
