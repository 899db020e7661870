"""One trace a request, from the client's context through the daemon into the shim, and out over OTLP."""

from __future__ import annotations

import json
import shutil
import time
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc

from pycontainerd.api.containers.v1 import containers_pb2
from pycontainerd.api.introspection.v1 import introspection_pb2
from pycontainerd.api.tasks.v1 import tasks_pb2
from pycontainerd.api.traces.v1 import traces_pb2
from pycontainerd.api.types.introspection_pb2 import RuntimeInfo, RuntimeRequest
from tests.support.daemon import RunningDaemon
from tests.support.stubs import Stub, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Spec"


class Receiver(rpc.TraceServiceServicer):
    """Keeps the spans it is sent by (service, name)."""

    def __init__(self) -> None:
        self.spans: dict[tuple[str, str], Any] = {}

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            (service,) = [i.value.string_value for i in resource.resource.attributes if i.key == "service.name"]
            self.spans |= {(service, span.name): span for scope in resource.scope_spans for span in scope.spans}
        return otlp.ExportTraceServiceResponse()


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    kept = Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    rpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, f"http://127.0.0.1:{port}"
    server.stop(0)


def run_one(channel: grpc.Channel, rootfs: Path, *, traced: bool) -> None:
    """Create, start, wait for and delete a container that does nothing."""
    for name in ("bin", "dev", "proc", "sys"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin/true")
    spec = {
        "ociVersion": "1.0.2",
        "process": {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "root": {"path": str(rootfs)},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
    }
    header = (("traceparent", f"00-{TRACE}-{PARENT}-01"),) if traced else ()
    containers = Stub(channel, "containerd.services.containers.v1.Containers", namespace="traced", metadata=header)
    tasks = Stub(channel, "containerd.services.tasks.v1.Tasks", namespace="traced", metadata=header)
    record = containers_pb2.Container(
        id="c",
        runtime=containers_pb2.Container.Runtime(name="io.containerd.runc.v2"),
        spec=AnyMessage(type_url=SPEC, value=json.dumps(spec).encode()),
    )
    containers.Create(containers_pb2.CreateContainerRequest(container=record))
    tasks.Create(tasks_pb2.CreateTaskRequest(container_id="c"))
    tasks.Start(tasks_pb2.StartRequest(container_id="c"))
    assert tasks.Wait(tasks_pb2.WaitRequest(container_id="c")).exit_status == 0
    tasks.Delete(tasks_pb2.DeleteTaskRequest(container_id="c"))
    containers.Delete(containers_pb2.DeleteContainerRequest(id="c"))


def spans_of(channel: grpc.Channel, wanted: str) -> list[traces_pb2.Span]:
    """The spans of our trace, once the shim has reported ``wanted``."""
    traces = Stub(channel, "pycontainerd.traces.v1.Traces")
    deadline = time.monotonic() + 10
    while True:
        spans = list(traces.Get(traces_pb2.GetTraceRequest(trace_id=TRACE)).spans)
        if any(wanted in span.process for span in spans) or time.monotonic() > deadline:
            return spans
        time.sleep(0.05)


def test_one_trace_from_the_client_to_the_runtime(tmp_path: Path) -> None:
    with RunningDaemon() as daemon, connect(daemon.address) as channel:
        run_one(channel, tmp_path / "rootfs", traced=True)
        spans = spans_of(channel, "shim")
        by_id = {span.span_id: span for span in spans}
        service = next(span for span in spans if span.name == "containerd.services.tasks.v1.Tasks/Create")
        assert service.parent_id == PARENT
        processes = {span.process for span in spans}
        assert {"daemon", "shim"} <= processes
        for span in spans:
            assert span.trace_id == TRACE
            chain = span
            while chain.parent_id in by_id:
                chain = by_id[chain.parent_id]
            assert chain.parent_id == PARENT, f"{span.process} {span.name} hangs in the air"
            assert span.start_unix_nano <= span.end_unix_nano
        traces = Stub(channel, "pycontainerd.traces.v1.Traces")
        (found,) = traces.List(traces_pb2.ListTracesRequest(container="c")).traces
        assert (found.trace_id, found.span_count) == (TRACE, len(spans))


def test_requests_that_nobody_traces_leave_nothing(tmp_path: Path) -> None:
    with RunningDaemon() as daemon, connect(daemon.address) as channel:
        run_one(channel, tmp_path / "rootfs", traced=False)
        time.sleep(0.3)
        traces = Stub(channel, "pycontainerd.traces.v1.Traces")
        assert list(traces.List(traces_pb2.ListTracesRequest()).traces) == []
        with pytest.raises(grpc.RpcError) as raised:
            traces.Get(traces_pb2.GetTraceRequest(trace_id=TRACE))
        assert raised.value.code().name == "NOT_FOUND"


def test_spans_of_all_processes_reach_the_collector(receiver: tuple[Receiver, str], tmp_path: Path) -> None:
    kept, endpoint = receiver
    with RunningDaemon(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}) as daemon:
        with connect(daemon.address) as channel:
            run_one(channel, tmp_path / "rootfs", traced=True)
            spans_of(channel, "shim")
        daemon.stop()
    create = kept.spans["pycontainerd", "containerd.services.tasks.v1.Tasks/Create"]
    assert (create.trace_id.hex(), create.parent_span_id.hex()) == (TRACE, PARENT)
    assert any(service == "pycontainerd-shim" for service, _ in kept.spans)


def test_an_unreachable_collector_costs_nothing_but_the_spans(tmp_path: Path) -> None:
    config = 'tracing.endpoint = "http://127.0.0.1:1"\n'
    with RunningDaemon(config=config) as daemon, connect(daemon.address) as channel:
        run_one(channel, tmp_path / "rootfs", traced=True)
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 20


def test_a_runtime_describes_itself() -> None:
    with RunningDaemon() as daemon, connect(daemon.address) as channel:
        introspection = Stub(channel, "containerd.services.introspection.v1.Introspection")
        wanted = RuntimeRequest(runtime_path="io.containerd.runc.v2")
        options = AnyMessage(type_url=RuntimeRequest.DESCRIPTOR.full_name, value=wanted.SerializeToString())
        request = introspection_pb2.PluginInfoRequest(type="io.containerd.runtime.v2", id="task", options=options)
        answer = introspection.PluginInfo(request)
        assert answer.plugin.id == "task"
        assert answer.extra.type_url == RuntimeInfo.DESCRIPTOR.full_name
        info = RuntimeInfo.FromString(answer.extra.value)
        assert info.name
        assert info.version.version
