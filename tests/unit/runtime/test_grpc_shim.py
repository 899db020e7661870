"""Shims that answer over gRPC."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.core.errors import NotFound
from pycontainerd.runtime import grpc_shim

SERVICE = "containerd.task.v3.Task"


async def _serve(path: str, seen: list[dict[str, object]]) -> grpc.aio.Server:
    async def start(
        request: task_pb2.StartRequest, context: grpc.aio.ServicerContext[task_pb2.StartRequest, task_pb2.StartResponse]
    ) -> task_pb2.StartResponse:
        seen.append(dict(context.invocation_metadata() or ()))
        if request.id == "unknown":
            await context.abort(grpc.StatusCode.NOT_FOUND, "container unknown: not found")
        return task_pb2.StartResponse(pid=int(request.id))

    handler = grpc.unary_unary_rpc_method_handler(
        start,
        request_deserializer=task_pb2.StartRequest.FromString,
        response_serializer=task_pb2.StartResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Start": handler}),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    return server


@pytest.mark.asyncio
async def test_calls_errors_and_loss(tmp_path: Path) -> None:
    seen: list[dict[str, object]] = []
    path = str(tmp_path / "s")
    server = await _serve(path, seen)
    link = await grpc_shim.connect(path, "ns", traceparent=lambda: "00-x")
    lost = asyncio.Event()
    link.on_lost = lost.set
    answer = await link.call(SERVICE, "Start", task_pb2.StartRequest(id="7"), task_pb2.StartResponse, limit=5)
    assert answer.pid == 7
    assert seen[0]["containerd-namespace"] == "ns"
    assert seen[0]["traceparent"] == "00-x"
    with pytest.raises(NotFound, match=r"^container unknown: not found$"):
        await link.call(SERVICE, "Start", task_pb2.StartRequest(id="unknown"), task_pb2.StartResponse)
    await server.stop(None)
    async with asyncio.timeout(5):
        await lost.wait()
    assert link.closed
    with pytest.raises(ConnectionError):
        await link.call(SERVICE, "Start", task_pb2.StartRequest(id="7"), task_pb2.StartResponse)


@pytest.mark.asyncio
async def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_shim, "_CONNECT_LIMIT", 0.2)
    with pytest.raises(OSError, match="gRPC"):
        await grpc_shim.connect(str(tmp_path / "nothing"), "ns")
