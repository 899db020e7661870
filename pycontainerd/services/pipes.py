"""The event loop's end of a pipe whose other end a thread, or a process started by one, works on."""

from __future__ import annotations

import asyncio
import os
from typing import Self

CHUNK = 256 << 10
"""Most bytes read at a time."""


class Pipe:
    """A pipe: ``near`` belongs to the loop, ``far`` is handed on. Closed on leaving the block, both ends at most once.

    ``Pipe.reader()`` has the loop read, ``Pipe.writer()`` has it write.
    """

    def __init__(self, near: int, far: int) -> None:
        self.near, self.far = near, far
        os.set_blocking(near, False)

    @classmethod
    def reader(cls) -> Pipe:
        """A pipe from the far side to the loop."""
        return cls(*os.pipe2(os.O_CLOEXEC))

    @classmethod
    def writer(cls) -> Pipe:
        """A pipe from the loop to the far side."""
        far, near = os.pipe2(os.O_CLOEXEC)
        return cls(near, far)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close_near()
        self.close_far()

    def close_near(self) -> None:
        """End our side: a reader on the other one sees the end, a writer a broken pipe."""
        self.near = _closed(self.near)

    def close_far(self) -> None:
        """Let go of the side that was handed on; who works on it has its own by now."""
        self.far = _closed(self.far)

    async def read(self) -> bytes:
        """What has come; empty at the end. Raises OSError."""
        while True:
            try:
                return os.read(self.near, CHUNK)
            except BlockingIOError:
                await self._ready(write=False)

    async def write(self, data: bytes) -> None:
        """Write all of it, waiting for room. Raises BrokenPipeError when nobody reads any more."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.near, view) :]
            except BlockingIOError:
                await self._ready(write=True)

    async def _ready(self, *, write: bool) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
        add(self.near, _settle, ready)
        try:
            await ready
        finally:
            remove(self.near)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _closed(fd: int) -> int:
    if fd >= 0:
        os.close(fd)
    return -1
