"""Pipes between the event loop and threads."""

from __future__ import annotations

import asyncio
import os

import pytest

from pycontainerd.services.pipes import Pipe


@pytest.mark.asyncio
async def test_what_a_thread_writes_is_read_to_the_end() -> None:
    data = os.urandom(3 << 20)
    with Pipe.reader() as pipe:

        def write() -> None:
            with open(pipe.far, "wb", closefd=False) as file:
                file.write(data)
            pipe.close_far()

        work = asyncio.create_task(asyncio.to_thread(write))
        parts = []
        while part := await pipe.read():
            parts.append(part)
        await work
    assert b"".join(parts) == data


@pytest.mark.asyncio
async def test_what_is_written_waits_for_a_slow_reader() -> None:
    data = os.urandom(1 << 20)
    with Pipe.writer() as pipe:

        def read() -> bytes:
            with open(pipe.far, "rb", closefd=False) as file:
                return file.read()

        work = asyncio.create_task(asyncio.to_thread(read))
        await pipe.write(data)
        pipe.close_near()
        assert await work == data


@pytest.mark.asyncio
async def test_nobody_reads() -> None:
    with Pipe.writer() as pipe:
        pipe.close_far()
        with pytest.raises(BrokenPipeError):
            await pipe.write(b"x")


@pytest.mark.asyncio
async def test_a_reader_that_gives_up_leaves_no_watcher() -> None:
    with Pipe.reader() as pipe:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pipe.read(), 0.05)
        os.write(pipe.far, b"later")
        assert await pipe.read() == b"later"
