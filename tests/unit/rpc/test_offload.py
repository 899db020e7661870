from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from pycontainerd.rpc.offload import SHORT_THREADS, offload, offload_stoppable

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


@pytest.mark.asyncio
async def test_results_errors_and_context_come_through() -> None:
    variable.set("mine")

    def work(a: int, *, b: int) -> tuple[int, int, str]:
        return a, b, variable.get()

    assert await offload(work, 1, b=2) == (1, 2, "mine")
    with pytest.raises(ValueError, match="invalid literal"):
        await offload(int, "x")


@pytest.mark.asyncio
async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    started, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go.wait(5)
        ended.set()

    task = asyncio.create_task(offload(work))
    await asyncio.to_thread(started.wait, 5)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@pytest.mark.asyncio
async def test_what_has_not_begun_never_runs_when_cancelled() -> None:
    gate, ran = threading.Event(), threading.Event()
    fillers = [asyncio.create_task(offload(gate.wait, 5)) for _ in range(SHORT_THREADS)]
    await asyncio.sleep(0.05)
    late = asyncio.create_task(offload(ran.set))
    await asyncio.sleep(0.05)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    gate.set()
    await asyncio.gather(*fillers)
    assert not ran.is_set()


@pytest.mark.asyncio
async def test_a_stoppable_call_is_told_to_stop() -> None:
    started, stop = threading.Event(), threading.Event()

    def work() -> bool:
        started.set()
        return stop.wait(5)

    task = asyncio.create_task(offload_stoppable(stop.set, work))
    await asyncio.to_thread(started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 2)
    assert stop.is_set()
