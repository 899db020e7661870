"""Reflection as grpcurl and the like ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import descriptor_pb2

from pycontainerd.api.grpc.reflection.v1 import reflection_pb2 as v1
from pycontainerd.api.images.v1 import images_pb2
from pycontainerd.rpc.call import Call
from pycontainerd.services.reflection import NAMES, reflection_services
from pycontainerd.wire.codes import INVALID_ARGUMENT, NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio
IMAGES = "containerd.services.images.v1.Images"


async def ask(*requests: v1.ServerReflectionRequest) -> list[Any]:
    async def sent() -> AsyncIterator[v1.ServerReflectionRequest]:
        for request in requests:
            yield request

    service = reflection_services([IMAGES])[0]
    return [answer async for answer in service.ServerReflectionInfo(sent(), Call("m", {}))]


def names(answer: Any) -> list[str]:
    files = answer.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(data).name for data in files]


async def test_the_services_are_listed() -> None:
    (answer,) = await ask(v1.ServerReflectionRequest(list_services="*"))
    assert [item.name for item in answer.list_services_response.service] == sorted({IMAGES, *NAMES})


@pytest.mark.parametrize("symbol", ["", ".Get", ".List"])
async def test_a_service_and_its_methods_have_a_file(symbol: str) -> None:
    (answer,) = await ask(v1.ServerReflectionRequest(file_containing_symbol=IMAGES + symbol))
    assert names(answer)[0] == images_pb2.DESCRIPTOR.name


@pytest.mark.parametrize("symbol", ["containerd.services.images.v1.Image", "containerd.services.images.v1.Image.name"])
async def test_a_message_and_its_fields_have_a_file(symbol: str) -> None:
    (answer,) = await ask(v1.ServerReflectionRequest(file_containing_symbol=symbol))
    assert names(answer)[0] == images_pb2.DESCRIPTOR.name


@pytest.mark.parametrize("symbol", ["", "x", "x.Y", IMAGES + ".Nothing", IMAGES + ".", "." + IMAGES])
async def test_an_unknown_symbol_is_an_answer_and_the_stream_goes_on(symbol: str) -> None:
    first, second = await ask(
        v1.ServerReflectionRequest(file_containing_symbol=symbol), v1.ServerReflectionRequest(list_services="*")
    )
    assert first.error_response.error_code == NOT_FOUND
    assert first.error_response.error_message.endswith(": not found")
    assert second.list_services_response.service


async def test_a_question_that_asks_nothing_is_an_invalid_argument() -> None:
    (answer,) = await ask(v1.ServerReflectionRequest())
    assert answer.error_response.error_code == INVALID_ARGUMENT


async def test_a_file_is_sent_once_a_stream_unless_asked_for() -> None:
    ask_for = v1.ServerReflectionRequest(file_containing_symbol=IMAGES)
    first, second = await ask(ask_for, ask_for)
    assert len(names(first)) > 1
    assert names(second) == names(first)[:1]
