"""A service with all four kinds of methods, for the transports' tests; its messages are Anys and the like."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.core.errors import NotFound
from pycontainerd.rpc.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pycontainerd.rpc.call import Call
    from pycontainerd.rpc.service import Method


def _descriptor() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="tests/echo.proto", package="tests.echo", dependency=["google/protobuf/any.proto"], syntax="proto3"
    )
    service = file.service.add(name="Echo")
    for name, client, server in (
        ("One", False, False),
        ("Many", False, True),
        ("Sum", True, False),
        ("Chat", True, True),
        ("Hang", False, False),
    ):
        service.method.add(
            name=name,
            input_type=".google.protobuf.Any",
            output_type=".google.protobuf.Any",
            client_streaming=client,
            server_streaming=server,
        )
    pool = descriptor_pool.Default()
    return pool.AddSerializedFile(file.SerializeToString())


_FILE = _descriptor()


class EchoService(Service):
    """Answers what it was sent; ``type_url`` says what else to do."""

    SERVICE = (_FILE or descriptor_pool.Default().FindFileByName("tests/echo.proto")).services_by_name["Echo"]

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ended: list[str] = []
        self.sent = 0

    async def One(self, request: AnyMessage, call: Call) -> AnyMessage:  # noqa: N802
        self.calls.append(call)
        if request.type_url == "missing":
            raise NotFound("thing", "x")
        if request.type_url == "bug":
            raise ZeroDivisionError("oops")
        return request

    async def Many(self, request: AnyMessage, call: Call) -> AsyncIterator[AnyMessage]:  # noqa: N802
        await call.accept()
        try:
            for number in range(int(request.type_url)):
                self.sent = number + 1
                yield AnyMessage(type_url=str(number), value=request.value)
            if request.value == b"fail":
                raise NotFound("rest")
            if request.value == b"wait":
                await asyncio.sleep(60)
        finally:
            self.ended.append("Many")

    async def Sum(self, requests: AsyncIterator[AnyMessage], call: Call) -> AnyMessage:  # noqa: N802
        return AnyMessage(value=b"".join([request.value async for request in requests]))

    async def Chat(self, requests: AsyncIterator[AnyMessage], call: Call) -> AsyncIterator[AnyMessage]:  # noqa: N802
        try:
            async for request in requests:
                if request.value == b"bye":
                    return
                yield AnyMessage(value=request.value.upper())
        finally:
            self.ended.append("Chat")

    async def Hang(self, request: AnyMessage, call: Call) -> AnyMessage:  # noqa: N802
        try:
            await asyncio.sleep(60)
        finally:
            self.ended.append("Hang")
        return request


async def until(condition: Callable[[], object], limit: float = 5.0) -> None:
    """Wait for something that happens on the other side of a socket."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


class Watch:
    """A dispatch.Observer that remembers."""

    def __init__(self) -> None:
        self.codes: list[tuple[str, int]] = []
        self.crashes: list[BaseException] = []

    def span(self, method: Method, call: Call) -> Any:
        import contextlib

        return contextlib.nullcontext()

    def finished(self, method: Method, call: Call, code: int, seconds: float) -> None:
        assert seconds >= 0
        self.codes.append((method.name, code))

    def crashed(self, method: Method, call: Call, error: BaseException) -> None:
        self.crashes.append(error)
