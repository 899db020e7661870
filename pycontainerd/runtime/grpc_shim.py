"""Connections to shims that answer ``protocol: grpc``: the same calls, carried by gRPC on the same unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from pycontainerd.runtime.ttrpc import no_traceparent, status_error
from pycontainerd.wire import codes, ttrpc

if TYPE_CHECKING:
    from collections.abc import Callable

M = TypeVar("M", bound=Message)

_CONNECT_LIMIT = 5.0
_NAMESPACE_HEADER = "containerd-namespace"


class GrpcLink:
    """A channel to one shim; its loss is noticed by watching the channel's state."""

    def __init__(self, channel: grpc.aio.Channel, namespace: str, traceparent: Callable[[], str]) -> None:
        self.on_lost: Callable[[], None] | None = None
        self.closed = False
        self._channel, self._namespace, self._traceparent = channel, namespace, traceparent
        self._watch = asyncio.get_running_loop().create_task(self._until_lost())

    async def call(
        self, service: str, method: str, request: Message, answer: type[M], *, limit: float | None = None
    ) -> M:
        """Make a unary call; raises as ``ttrpc.Connection.call`` does."""
        if self.closed:
            raise ConnectionResetError(f"{service}/{method}: the connection is closed")
        stub: grpc.aio.UnaryUnaryMultiCallable[Message, M] = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        metadata = [(_NAMESPACE_HEADER, self._namespace)]
        if context := self._traceparent():
            metadata.append((ttrpc.TRACE_HEADER, context))
        try:
            result: M = await stub(request, timeout=limit, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            code, text = error.code().value[0], error.details() or ""
            if code == codes.UNAVAILABLE:
                raise ConnectionResetError(text) from error
            raise status_error(code, text) from error
        return result

    async def _until_lost(self) -> None:
        state = self._channel.get_state()
        while state not in {grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN}:
            await self._channel.wait_for_state_change(state)
            previous, state = state, self._channel.get_state()
            if previous is grpc.ChannelConnectivity.READY and state is not previous:
                break  # a unix socket that closed does not come back
        self.closed = True
        await self._channel.close()
        lost, self.on_lost = self.on_lost, None
        if lost is not None:
            lost()

    def close(self) -> None:
        """End the connection without calling ``on_lost``."""
        self.on_lost = None
        if not self.closed:
            self.closed = True
            self._watch.cancel()
            self._closing = asyncio.get_running_loop().create_task(self._channel.close())


async def connect(path: str, namespace: str, *, traceparent: Callable[[], str] = no_traceparent) -> GrpcLink:
    """Connect to a unix socket. Raises OSError when nothing answers within five seconds."""
    target = f"unix-abstract:{path[1:]}" if path.startswith("\0") else f"unix:{path}"
    channel = grpc.aio.insecure_channel(target)
    try:
        async with asyncio.timeout(_CONNECT_LIMIT):
            await channel.channel_ready()
    except TimeoutError as error:
        with contextlib.suppress(grpc.RpcError):
            await channel.close()
        raise ConnectionRefusedError(111, "nothing answers over gRPC", path) from error
    return GrpcLink(channel, namespace, traceparent)
