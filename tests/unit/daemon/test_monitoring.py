from __future__ import annotations

import asyncio

import pytest

from pycontainerd.core.errors import InvalidArgument, Unavailable
from pycontainerd.daemon.monitoring import MetricsServer, register_process, watch_lag
from pycontainerd.rpc.metrics import Registry

pytestmark = pytest.mark.asyncio


async def fetch(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_a_scraper_gets_the_metrics_and_others_an_error() -> None:
    registry = Registry()
    register_process(registry)
    server = MetricsServer(registry)
    port = await server.start("127.0.0.1:0")
    try:
        answer = await fetch(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"process_resident_memory_bytes " in body
        assert b"404" in await fetch(port, b"GET / HTTP/1.1\r\n\r\n")
        assert b"405" in await fetch(port, b"POST /metrics HTTP/1.1\r\n\r\n")
        assert await fetch(port, b"x" * 100_000) == b""
        with pytest.raises(Unavailable, match="cannot listen"):
            await MetricsServer(registry).start(f"127.0.0.1:{port}")
    finally:
        await server.stop()


@pytest.mark.parametrize("address", ["nonsense", "host:", "host:port", "h:99999"])
async def test_a_bad_address_is_named(address: str) -> None:
    with pytest.raises(InvalidArgument, match="want host:port"):
        await MetricsServer(Registry()).start(address)


async def test_the_lag_of_the_event_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pycontainerd.daemon.monitoring.INTERVAL", 0.01)
    registry = Registry()
    task = asyncio.create_task(watch_lag(registry))
    await asyncio.sleep(0.1)
    task.cancel()
    assert "pycontainerd_event_loop_lag_seconds_count" in registry.text()
