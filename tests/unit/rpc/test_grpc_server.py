from __future__ import annotations

import asyncio
import os
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.rpc.dispatch import Dispatcher
from pycontainerd.rpc.grpc_server import MAX_MESSAGE, GrpcServer
from pycontainerd.rpc.service import methods
from tests.unit.rpc.echo import EchoService, Watch, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio
PREFIX = "/tests.echo.Echo/"
CODEC: dict[str, Any] = {
    "request_serializer": AnyMessage.SerializeToString,
    "response_deserializer": AnyMessage.FromString,
}


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[tuple[EchoService, Watch, grpc.aio.Channel]]:
    service, watch = EchoService(), Watch()
    server = GrpcServer(methods([service]), Dispatcher(watch))
    path = str(tmp_path / "g.sock")
    await server.start(path)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    channel = grpc.aio.insecure_channel(f"unix:{path}", options=options)
    try:
        yield service, watch, channel
    finally:
        await channel.close()
        await server.stop(0)


async def test_the_socket_is_for_root_and_its_group(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert stat.S_IMODE(os.stat(tmp_path / "g.sock").st_mode) == 0o660


async def test_unary_calls_carry_metadata_and_errors(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, watch, channel):
        one: Any = channel.unary_unary(PREFIX + "One", **CODEC)
        assert (await one(AnyMessage(value=b"x"), metadata=(("containerd-namespace", "n"),))).value == b"x"
        assert service.calls[0].namespace == "n"
        for url, code in (("missing", grpc.StatusCode.NOT_FOUND), ("bug", grpc.StatusCode.INTERNAL)):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await one(AnyMessage(type_url=url))
            assert raised.value.code() == code
        assert raised.value.details() == "internal error: ZeroDivisionError: oops (the daemon's log has the traceback)"
        assert [type(error) for error in watch.crashes] == [ZeroDivisionError]
        assert watch.codes == [("One", 0), ("One", 5), ("One", 13)]


async def test_streams_of_every_kind(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _, channel):
        many: Any = channel.unary_stream(PREFIX + "Many", **CODEC)
        assert [m.type_url async for m in many(AnyMessage(type_url="3"))] == ["0", "1", "2"]
        total: Any = channel.stream_unary(PREFIX + "Sum", **CODEC)
        assert (await total(AnyMessage(value=v) for v in (b"a", b"b"))).value == b"ab"
        chat: Any = channel.stream_stream(PREFIX + "Chat", **CODEC)()
        await chat.write(AnyMessage(value=b"a"))
        assert (await chat.read()).value == b"A"
        await chat.write(AnyMessage(value=b"bye"))
        assert await chat.read() is grpc.aio.EOF
        assert service.ended == ["Many", "Chat"]


async def test_a_stream_that_fails_delivers_what_came_before(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, _, channel):
        call: Any = channel.unary_stream(PREFIX + "Many", **CODEC)(AnyMessage(type_url="2", value=b"fail"))
        assert [(await call.read()).type_url for _ in range(2)] == ["0", "1"]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND


async def test_accept_reaches_the_client_before_the_first_message(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _, channel):
        call: Any = channel.unary_stream(PREFIX + "Many", **CODEC)(AnyMessage(type_url="0", value=b"wait"))
        await asyncio.wait_for(call.initial_metadata(), 5)
        call.cancel()
        await until(lambda: service.ended == ["Many"])


async def test_a_client_that_goes_away_ends_its_call(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, watch, channel):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(PREFIX + "Hang", **CODEC)(AnyMessage(), timeout=0.2)
        assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: service.ended == ["Hang"])
        await until(lambda: watch.codes == [("Hang", 1)])


async def test_a_client_that_stops_reading_holds_the_stream_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, _, channel):
        request = AnyMessage(type_url="10000", value=bytes(1 << 16))
        call: Any = channel.unary_stream(PREFIX + "Many", **CODEC)(request)
        await call.read()
        await asyncio.sleep(0.3)
        before = service.sent
        assert before < 2000
        await asyncio.sleep(0.2)
        assert service.sent - before < 50
        call.cancel()
        await until(lambda: service.ended == ["Many"])


async def test_a_message_over_the_limit_is_resource_exhausted(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, _, channel):
        one: Any = channel.unary_unary(PREFIX + "One", **CODEC)
        assert len((await one(AnyMessage(value=bytes(MAX_MESSAGE - 100)))).value) == MAX_MESSAGE - 100
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await one(AnyMessage(value=bytes(MAX_MESSAGE + 1)))
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("path", "details"),
    [
        (PREFIX + "None", "unknown method None of service tests.echo.Echo: not implemented"),
        ("/tests.other.Other/One", "unknown service tests.other.Other: not implemented"),
    ],
)
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_what_is_not_served_is_unimplemented_and_named(
    tmp_path: Path, kind: str, path: str, details: str
) -> None:
    async with serving(tmp_path) as (_, _, channel):
        call = getattr(channel, kind)(path, **CODEC)(AnyMessage() if kind.startswith("unary") else iter([AnyMessage()]))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            _ = [message async for message in call] if kind.endswith("stream") else await call
        assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert raised.value.details() == details


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7fshort"])
@pytest.mark.parametrize("method", ["One", "Many", "Sum", "Chat"])
async def test_what_cannot_be_decoded_is_an_invalid_argument(tmp_path: Path, method: str, data: bytes) -> None:
    async with serving(tmp_path) as (service, watch, channel):
        kind = {"One": "unary_unary", "Many": "unary_stream", "Sum": "stream_unary", "Chat": "stream_stream"}[method]
        call = getattr(channel, kind)(PREFIX + method, response_deserializer=AnyMessage.FromString)(
            data if kind.startswith("unary") else iter([data])
        )
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            _ = [message async for message in call] if kind.endswith("stream") else await call
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT, raised.value.details()
        assert str(raised.value.details()).startswith("cannot decode")
        assert str(raised.value.details()).endswith("invalid argument")
        assert service.calls == []
        assert watch.crashes == []
