"""The gRPC side: grpc.aio on a unix socket (0660) and, when asked, nowhere else.

Handlers are generic: built from service descriptors, so that no generated gRPC code is needed. Limits are containerd's
(16 MiB a message, both ways).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.rpc.call import Call, first_values
from pycontainerd.rpc.dispatch import Dispatcher, Failure
from pycontainerd.rpc.errors import clip
from pycontainerd.wire.codes import INVALID_ARGUMENT, UNIMPLEMENTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from pycontainerd.rpc.service import Method

MAX_MESSAGE = 16 << 20
"""Largest message in either direction, in bytes."""
SOCKET_MODE = 0o660

_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.so_reuseport", 0),
    # Clients keep idle connections alive with pings; a server that counts them as abuse closes the connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class GrpcServer:
    """Serves a table of methods on one unix socket."""

    def __init__(self, methods: Mapping[str, Method], dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._server = grpc.aio.server(options=_OPTIONS)
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for method in methods.values():
            by_service.setdefault(method.service, {})[method.name] = self._handler(method)
        self._server.add_generic_rpc_handlers(
            (
                *(grpc.method_handlers_generic_handler(name, table) for name, table in by_service.items()),
                _Unserved(frozenset(by_service)),
            )
        )

    async def start(self, path: str, group: int = 0) -> None:
        """Bind ``path`` and serve. The caller has made sure that nobody else listens there. Raises OSError."""
        # The socket must never be more open than 0660, not even for a moment.
        old = os.umask(0o777 & ~SOCKET_MODE)
        try:
            self._server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {path}: {error}") from error
        finally:
            os.umask(old)
        os.chmod(path, SOCKET_MODE)
        os.chown(path, 0 if os.geteuid() == 0 else -1, group if os.geteuid() == 0 else -1)
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Refuse new calls, give the running ones ``grace`` seconds, then cancel them."""
        await self._server.stop(grace)

    def _handler(self, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        make: Callable[..., grpc.RpcMethodHandler[Any, Any]]
        if method.server_streaming:
            make = (
                grpc.stream_stream_rpc_method_handler
                if method.client_streaming
                else (grpc.unary_stream_rpc_method_handler)
            )
            behaviour = self._streaming(method)
        else:
            make = (
                grpc.stream_unary_rpc_method_handler
                if method.client_streaming
                else (grpc.unary_unary_rpc_method_handler)
            )
            behaviour = self._unary(method)
        return make(
            behaviour,
            request_deserializer=_decoder(method),
            response_serializer=method.response.SerializeToString,
        )

    def _unary(self, method: Method) -> Callable[[Any, Any], Any]:
        async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                _readable(request)
                return await self._dispatcher.unary(method, request, _call(method, context))
            except Failure as failure:
                await context.abort(_STATUS[failure.code], failure.message)

        return serve

    def _streaming(self, method: Method) -> Callable[[Any, Any], Any]:
        # A coroutine that writes, not a generator: when the client goes away in mid-write, this frame is cancelled and
        # cleans up at once.
        async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            try:
                _readable(request)
                await self._dispatcher.stream(method, request, _call(method, context), context.write)
            except Failure as failure:
                await context.abort(_STATUS[failure.code], failure.message)

        return serve


class _Unserved(grpc.GenericRpcHandler):
    """The last handler that is asked: names what is not served, where gRPC itself would only say that it is not."""

    def __init__(self, services: frozenset[str]) -> None:
        self._services = services

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """A handler for every method, that refuses it."""
        service, _, name = str(handler_call_details.method).lstrip("/").rpartition("/")
        known = service in self._services
        what = f"unknown method {name} of service {service}" if known else f"unknown service {service}"

        async def refuse(_requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await context.abort(_STATUS[UNIMPLEMENTED], clip(f"{what}: not implemented"))

        return grpc.stream_stream_rpc_method_handler(refuse)


class _Undecodable:
    """Stands in for a request that cannot be decoded, until its handler can refuse it: from within a decoder gRPC
    answers with the name of the exception's class."""

    def __init__(self, why: str) -> None:
        self.why = why


def _decoder(method: Method) -> Callable[[bytes], Message | _Undecodable]:
    decode = method.request.FromString

    def single(data: bytes) -> Message | _Undecodable:
        try:
            return decode(data)
        except DecodeError as error:
            return _Undecodable(f"cannot decode the request of {method.name}: {error}: invalid argument")

    def one_of_many(data: bytes) -> Message:  # raises where the handler reads its stream
        try:
            return decode(data)
        except DecodeError as error:
            raise InvalidArgument(f"cannot decode a message of the stream: {error}") from error

    return one_of_many if method.client_streaming else single


def _readable(request: object) -> None:
    """Raise Failure for a request that could not be decoded."""
    if isinstance(request, _Undecodable):
        raise Failure(INVALID_ARGUMENT, clip(request.why))


def _call(method: Method, context: grpc.aio.ServicerContext[Any, Any]) -> Call:
    async def accept() -> None:
        await context.send_initial_metadata(())

    # gRPC itself cancels the handler when the deadline passes, so the call carries none.
    return Call(method.path, first_values(context.invocation_metadata() or ()), accept=accept)
