"""The asyncio ttrpc client against a scripted server."""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
from typing import TYPE_CHECKING

import pytest

from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.api.ttrpc import ttrpc_pb2
from pycontainerd.core import errors
from pycontainerd.runtime.ttrpc import Connection, connect, status_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SERVICE = "containerd.task.v3.Task"


async def _with_server(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    body: Callable[[Connection], Awaitable[None]],
    traceparent: str = "",
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "s")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_unix_server(serve, path)
        connection = await connect(path, "ns", traceparent=lambda: traceparent)
        try:
            await body(connection)
        finally:
            connection.close()
            server.close()
            await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> tuple[int, ttrpc_pb2.Request]:
    length, stream, kind, flags = struct.unpack(">IIBB", await reader.readexactly(10))
    assert (kind, flags) == (1, 0)
    return stream, ttrpc_pb2.Request.FromString(await reader.readexactly(length))


def _frame(stream: int, payload: bytes, kind: int = 2) -> bytes:
    return struct.pack(">IIBB", len(payload), stream, kind, 0) + payload


def _answer(stream: int, pid: int) -> bytes:
    response = ttrpc_pb2.Response(payload=task_pb2.StartResponse(pid=pid).SerializeToString())
    return _frame(stream, response.SerializeToString())


async def _start(connection: Connection, id: str, limit: float | None = None) -> int:
    answer = await connection.call(SERVICE, "Start", task_pb2.StartRequest(id=id), task_pb2.StartResponse, limit=limit)
    return int(answer.pid)


@pytest.mark.asyncio
async def test_calls_are_multiplexed_and_answered_in_any_order() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = [await _read(reader) for _ in range(3)]
        assert [stream for stream, _ in requests] == [1, 3, 5]
        assert {(pair.key, pair.value) for pair in requests[0][1].metadata} == {
            ("containerd-namespace-ttrpc", "ns"),
            ("traceparent", "00-trace"),
        }
        for stream, request in reversed(requests):
            message = task_pb2.StartRequest.FromString(request.payload)
            for byte in _answer(stream, int(message.id)):  # one byte at a time: frames are put together again
                writer.write(bytes([byte]))
        await writer.drain()

    async def body(connection: Connection) -> None:
        assert await asyncio.gather(*(_start(connection, str(n)) for n in (10, 20, 30))) == [10, 20, 30]

    await _with_server(handler, body, "00-trace")


@pytest.mark.asyncio
async def test_a_status_becomes_the_class_and_an_empty_frame_an_empty_answer() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream, _ = await _read(reader)
        response = ttrpc_pb2.Response()
        response.status.code, response.status.message = 5, "container x: not found"
        writer.write(_frame(99, b"ignored") + _frame(stream, response.SerializeToString()))
        stream, _ = await _read(reader)
        writer.write(_frame(stream, b"", kind=7) + _frame(stream, b""))
        await writer.drain()

    async def body(connection: Connection) -> None:
        with pytest.raises(errors.NotFound, match=r"^container x: not found$"):
            await _start(connection, "x")
        assert await _start(connection, "x") == 0

    await _with_server(handler, body)


@pytest.mark.asyncio
async def test_a_lost_connection_fails_calls_and_is_told_once() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read(reader)

    async def body(connection: Connection) -> None:
        lost: list[bool] = []
        connection.on_lost = lambda: lost.append(True)
        with pytest.raises(ConnectionError):
            await _start(connection, "x")
        assert lost == [True]
        assert connection.closed
        with pytest.raises(ConnectionError):
            await _start(connection, "x")

    await _with_server(handler, body)


@pytest.mark.asyncio
async def test_a_deadline_is_sent_and_kept() -> None:
    seen: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream, request = await _read(reader)
        seen.append(request.timeout_nano)
        await _read(reader)
        writer.write(_answer(stream, 1) + _answer(stream + 2, 2))  # the late answer must not disturb
        await writer.drain()

    async def body(connection: Connection) -> None:
        with pytest.raises(errors.DeadlineExceeded):
            await _start(connection, "x", limit=0.02)
        assert await _start(connection, "x") == 2

    await _with_server(handler, body)
    assert seen == [20_000_000]


@pytest.mark.asyncio
async def test_oversize_is_refused_both_ways() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream, _ = await _read(reader)
        writer.write(struct.pack(">IIBB", (4 << 20) + 1, stream, 2, 0) + b"x" * ((4 << 20) + 1))
        stream, _ = await _read(reader)
        writer.write(_answer(stream, 4))
        await writer.drain()

    async def body(connection: Connection) -> None:
        with pytest.raises(errors.ResourceExhausted):
            await _start(connection, "x" * (4 << 20))
        with pytest.raises(errors.ResourceExhausted):
            await _start(connection, "x")
        assert await _start(connection, "x") == 4

    await _with_server(handler, body)


@pytest.mark.parametrize(
    ("code", "text", "kind", "message"),
    [
        (5, "not found", errors.NotFound, "request: not found"),
        (9, "x: conflict", errors.Conflict, "x: conflict"),
        (9, "exec: failed precondition", errors.FailedPrecondition, "exec: failed precondition"),
        (2, "runc said no", errors.Unknown, "runc said no"),
        (13, "broken", errors.Unknown, "broken"),
        (12, "service x", errors.Unimplemented, "service x: not implemented"),
    ],
)
def test_status_error(code: int, text: str, kind: type[Exception], message: str) -> None:
    error = status_error(code, text)
    assert type(error) is kind
    assert str(error) == message
