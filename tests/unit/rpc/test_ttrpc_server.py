from __future__ import annotations

import asyncio
import os
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pycontainerd.rpc.dispatch import Dispatcher
from pycontainerd.rpc.service import methods
from pycontainerd.rpc.ttrpc_server import INBOX, SEND_BUFFER, TtrpcServer
from pycontainerd.wire import codes
from pycontainerd.wire.client import Client
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.ttrpc import KeyValue, Request, Response
from pycontainerd.wire.ttrpc import REMOTE_OPEN, REQUEST, FrameReader, header
from tests.unit.rpc.echo import EchoService, Watch, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio
SERVICE = "tests.echo.Echo"


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[tuple[EchoService, TtrpcServer, str]]:
    service = EchoService()
    server = TtrpcServer(methods([service]), Dispatcher(Watch()))
    path = str(tmp_path / "t.sock")
    await server.start(path)
    try:
        yield service, server, path
    finally:
        await server.stop(0)


class Raw:
    """A client that writes frames by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._frames = FrameReader()
        self._got: list[Any] = []

    @classmethod
    async def connect(cls, path: str) -> Raw:
        return cls(*await asyncio.open_unix_connection(path))

    def request(self, stream: int, method: str, payload: bytes = b"", *, flags: int = 0, **more: Any) -> None:
        data = Request(service=more.pop("service", SERVICE), method=method, payload=payload, **more).encode()
        self.writer.write(header(stream, REQUEST, flags, len(data)) + data)

    async def frame(self) -> Any:
        async with asyncio.timeout(5):
            while not self._got:
                data = await self._reader.read(1 << 16)
                assert data, "the server closed the connection"
                self._got += self._frames.feed(data)
        return self._got.pop(0)

    async def status(self) -> tuple[int, int, str]:
        frame = await self.frame()
        status = Response.decode(frame.payload).status
        return (frame.stream_id, status.code, status.message) if status else (frame.stream_id, 0, "")


async def test_the_light_client_calls_and_streams(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _, path):

        def talk() -> None:
            client = Client(path, namespace="n")
            assert client.call(SERVICE, "One", AnyMessage(value=b"x"), AnyMessage).value == b"x"
            with pytest.raises(RpcError) as raised:
                client.call(SERVICE, "One", AnyMessage(type_url="missing"), AnyMessage)
            assert (raised.value.code, raised.value.message) == (codes.NOT_FOUND, 'thing "x": not found')
            got = [m.type_url for m in client.stream(SERVICE, "Many", AnyMessage(type_url="3"), AnyMessage)]
            assert got == ["0", "1", "2"]

        await asyncio.to_thread(talk)
        assert service.calls[0].namespace == "n"
        assert service.calls[0].transport == "ttrpc"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


async def test_unknown_services_and_methods_are_told_apart(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, _, path):
        raw = await Raw.connect(path)
        raw.request(1, "One", service="no.Such")
        raw.request(3, "Nope")
        assert await raw.status() == (1, codes.UNIMPLEMENTED, "service no.Such")
        assert await raw.status() == (3, codes.UNIMPLEMENTED, "method Nope")


async def test_an_empty_answer_is_an_empty_frame_and_calls_overlap(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, _, path):
        raw = await Raw.connect(path)
        raw.request(1, "Hang")
        raw.request(3, "One")
        frame = await raw.frame()
        assert (frame.stream_id, frame.payload) == (3, b"")


async def test_a_deadline_ends_the_call(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _, path):
        raw = await Raw.connect(path)
        raw.request(1, "Hang", timeout_nano=100_000_000)
        assert (await raw.status())[1] == codes.DEADLINE_EXCEEDED
        assert service.ended == ["Hang"]


async def test_closing_the_connection_cancels_everything_on_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _, path):
        raw = await Raw.connect(path)
        raw.request(1, "Hang")
        raw.request(3, "Many", AnyMessage(type_url="1", value=b"wait").encode())
        await raw.frame()
        raw.writer.close()
        await until(lambda: sorted(service.ended) == ["Hang", "Many"])


async def test_a_request_that_does_not_decode_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, _, path):
        raw = await Raw.connect(path)
        raw.request(1, "One", b"\x0a\xff")
        assert (await raw.status())[1] == codes.INVALID_ARGUMENT
        raw.request(3, "One")
        assert (await raw.status())[1] == 0


async def test_a_client_that_does_not_read_costs_bounded_memory(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _, path):
        raw = await Raw.connect(path)
        raw.request(1, "Many", AnyMessage(type_url="1000", value=bytes(1 << 20)).encode())
        await asyncio.sleep(0.5)
        assert service.sent < (SEND_BUFFER >> 20) + 8
        raw.writer.close()
        await until(lambda: service.ended == ["Many"])


async def test_a_client_that_sends_too_fast_is_held_back_and_loses_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, _, path):
        raw = await Raw.connect(path)
        raw.request(1, "Sum", flags=REMOTE_OPEN)
        count = INBOX * 20
        message = AnyMessage(value=b"x" * 1000).encode()
        for _ in range(count):
            raw.writer.write(header(1, 3, 0, len(message)) + message)
        raw.writer.write(header(1, 3, 1 | 4, 0))
        frame = await raw.frame()
        assert len(AnyMessage.decode(Response.decode(frame.payload).payload).value) == 1000 * count


async def test_an_answer_over_four_mebibytes_is_resource_exhausted(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, _, path):
        raw = await Raw.connect(path)
        raw.request(1, "One", AnyMessage(value=bytes((4 << 20) - 200)).encode())
        assert len((await raw.frame()).payload) > (4 << 20) - 200
        raw.writer.write(header(3, REQUEST, 0, (4 << 20) + 1))
        assert (await raw.status())[1] == codes.RESOURCE_EXHAUSTED


async def test_metadata_keeps_the_first_of_repeated_keys(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _, path):
        raw = await Raw.connect(path)
        pairs = [KeyValue(key="containerd-namespace-ttrpc", value=v) for v in ("a", "b")]
        raw.request(1, "One", metadata=pairs)
        await raw.frame()
        assert service.calls[0].namespace == "a"


async def test_stopping_lets_running_calls_end_within_the_grace(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, server, path):
        raw = await Raw.connect(path)
        raw.request(1, "Hang")
        await asyncio.sleep(0.05)
        await asyncio.wait_for(server.stop(0.1), 5)
        await until(lambda: service.ended == ["Hang"])
