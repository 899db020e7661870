"""The Prometheus endpoint and the measurements that belong to no request: event-loop lag, processes, memory.

Plain HTTP/1.1 for one path, on an address of the operator's choice; nothing listens unless one is configured.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from pycontainerd.rpc.metrics import Registry

INTERVAL = 1.0
"""Seconds between two looks at the event loop's lag."""
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
PATIENCE = 5.0
"""Seconds a scraper has to send its request."""


class MetricsServer:
    """Serves ``GET /metrics``."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> int:
        """Listen on ``host:port``; return the port. Raises InvalidArgument (address), Unavailable (taken)."""
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise InvalidArgument("metrics address", address, "want host:port, such as 127.0.0.1:1338")
        try:
            self._server = await asyncio.start_server(self._serve, host.strip("[]") or "127.0.0.1", int(port))
        except OSError as error:
            raise Unavailable("metrics address", address, f"cannot listen: {error.strerror or error}") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
            method, _, rest = head.decode("latin-1").partition(" ")
            path = rest.split(" ", 1)[0].partition("?")[0]
            status, body = self._answer(method, path)
            head_lines = (
                f"HTTP/1.1 {status}",
                "Content-Type: text/plain; version=0.0.4; charset=utf-8",
                f"Content-Length: {len(body)}",
                "Connection: close",
                "\r\n",
            )
            writer.write("\r\n".join(head_lines).encode() + (body if method != "HEAD" else b""))
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str) -> tuple[str, bytes]:
        if method not in {"GET", "HEAD"}:
            return "405 Method Not Allowed", b"only GET\n"
        if path not in {"/metrics", "/v1/metrics"}:
            return "404 Not Found", b"try /metrics\n"
        return "200 OK", self._registry.text().encode()


async def watch_lag(registry: Registry) -> None:
    """Measure for ever how late the event loop wakes a sleeper: what blocks it delays every call."""
    lag = registry.histogram(
        "pycontainerd_event_loop_lag_seconds", "How late the event loop runs a timer.", (), LAG_BUCKETS
    )
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL
        await asyncio.sleep(INTERVAL)
        lag.observe(max(0.0, loop.time() - due))


def register_process(registry: Registry) -> None:
    """Memory, descriptors and processor time of the daemon itself, under the names every exporter uses."""
    page = os.sysconf("SC_PAGE_SIZE")

    def resident() -> float:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * page

    def seconds() -> float:
        times = os.times()
        return times.user + times.system

    registry.gauge("process_resident_memory_bytes", "Resident memory.", resident)
    registry.gauge("process_cpu_seconds_total", "Processor time used.", seconds)
    registry.gauge("process_open_fds", "Open descriptors.", lambda: len(os.listdir("/proc/self/fd")))
