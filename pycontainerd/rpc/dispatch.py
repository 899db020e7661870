"""Runs a handler the same way under both transports: span, metrics, deadline, errors to (code, message).

A transport gives the decoded request (or an async iterator of requests) and a way to send; it gets back a ``Failure``
to put on the wire, or None when all went well.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from pycontainerd.rpc.call import current_call
from pycontainerd.rpc.errors import internal, status_of
from pycontainerd.wire.codes import CANCELLED, OK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractContextManager

    from google.protobuf.message import Message

    from pycontainerd.rpc.call import Call
    from pycontainerd.rpc.service import Method

    Send = Callable[[Message], Awaitable[None]]


class Observer(Protocol):
    """What is told about every call; all of it optional work, none of it may raise."""

    def span(self, method: Method, call: Call) -> AbstractContextManager[object]:
        """The server span of the call; a shared null object when the call is not traced."""

    def finished(self, method: Method, call: Call, code: int, seconds: float) -> None:
        """The call ended with ``code`` after ``seconds``."""

    def crashed(self, method: Method, call: Call, error: BaseException) -> None:
        """The handler raised something that is no answer: log the traceback."""


class Failure(Exception):
    """A call's status other than OK."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Dispatcher:
    """Runs handlers and turns what they raise into statuses."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def unary(self, method: Method, request: Message | AsyncIterator[Message], call: Call) -> Message:
        """The single response. Raises Failure."""

        async def run() -> Message:
            response: Message = await method.handler(request, call)
            return response

        response: Message = await self._guarded(method, call, run)
        return response

    async def stream(self, method: Method, request: Message | AsyncIterator[Message], call: Call, send: Send) -> None:
        """Send each response of a server-streaming method. Raises Failure."""

        async def run() -> None:
            # A generator that is dropped in mid-yield would run its clean-up at some later collection; close it here.
            async with aclosing(method.handler(request, call)) as responses:
                async for response in responses:
                    await send(response)

        await self._guarded(method, call, run)

    async def _guarded(self, method: Method, call: Call, run: Callable[[], Awaitable[Any]]) -> Any:
        observer = self._observer
        started = time.perf_counter()
        token = current_call.set(call)
        code = OK
        try:
            with observer.span(method, call):
                if call.timeout is None:
                    return await run()
                async with asyncio.timeout(call.timeout):
                    return await run()
        except asyncio.CancelledError:
            code = CANCELLED
            raise
        except Exception as error:
            status = status_of(error)
            if status is None:
                observer.crashed(method, call, error)
                status = internal(error)
            code, message = status
            raise Failure(code, message) from error
        finally:
            current_call.reset(token)
            observer.finished(method, call, code, time.perf_counter() - started)
