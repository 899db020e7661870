"""The one way from the event loop to the synchronous engines: a bounded pool of threads.

A thread cannot be cancelled. When the caller is, ``offload`` waits for the function to end before it lets the
cancellation through, so nothing of a call runs on after the call has ended (a writer is never closed under a write).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

SHORT_THREADS = 32
"""Threads for calls that end soon: transactions, system calls."""
LONG_THREADS = 64
"""Threads for calls that take as long as their data: pulls, imports, layers; so that they never starve the short."""

_short = ThreadPoolExecutor(SHORT_THREADS, thread_name_prefix="engine")
_long = ThreadPoolExecutor(LONG_THREADS, thread_name_prefix="transfer")


async def offload(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``fn`` in a pool thread, in the caller's context; raises what it raises."""
    return await _run(_short, None, functools.partial(fn, *args, **kwargs))


async def offload_long(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As ``offload``, for work bounded by data rather than by a transaction."""
    return await _run(_long, None, functools.partial(fn, *args, **kwargs))


async def offload_stoppable(stop: Callable[[], None], fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As ``offload_long``; when the caller is cancelled, ``stop()`` is called so that ``fn`` may end early."""
    return await _run(_long, stop, functools.partial(fn, *args, **kwargs))


async def _run(pool: ThreadPoolExecutor, stop: Callable[[], None] | None, fn: Callable[[], T]) -> T:
    # The thread's result goes straight to the future that is awaited: asyncio.wrap_future and shield would cost two
    # turns of the loop and several callbacks more, on every call of every engine.
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            result = fn()
        except BaseException as error:  # noqa: BLE001 - handed on to the caller
            loop.call_soon_threadsafe(_fail, waiter, error)
        else:
            loop.call_soon_threadsafe(_answer, waiter, result)

    job = pool.submit(contextvars.copy_context().run, work)
    try:
        return await waiter
    except asyncio.CancelledError:
        if not job.cancel():
            if stop is not None:
                stop()
            await _settled(asyncio.wrap_future(job))
        raise


def _answer(waiter: asyncio.Future[T], result: T) -> None:
    if not waiter.done():
        waiter.set_result(result)


def _fail(waiter: asyncio.Future[Any], error: BaseException) -> None:
    if not waiter.done():
        waiter.set_exception(error)


async def _settled(waiter: asyncio.Future[T]) -> None:
    """Wait until the thread is done, however often the waiter is cancelled; its outcome no longer matters."""
    while not waiter.done():
        try:
            await asyncio.wait([waiter])
        except asyncio.CancelledError:
            continue
    if not waiter.cancelled():
        waiter.exception()
