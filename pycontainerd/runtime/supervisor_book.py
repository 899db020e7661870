"""The supervised containers in memory, and their rows. Event loop only; rows are written through ``offload``.

The row follows memory at once but in the background, several changes in one write; ``keep`` waits until it is on the
disk, for what a client is told is done.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import NotFound, PycontainerdError
from pycontainerd.core.supervision import CREATED, EXITED, PAUSED, REMOVING, RUNNING, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainerd.core.supervision import Plan, RunStates
    from pycontainerd.runtime.shims import Offload

NOT_RUNNING, NEXT_EXIT, REMOVED = "not-running", "next-exit", "removed"
CONDITIONS = (NOT_RUNNING, NEXT_EXIT, REMOVED)
_log = structlog.get_logger("supervisor")


class Watched:
    """A supervised container: what its record asks for, how it is, and what is under way for it."""

    def __init__(self, namespace: str, id: str, plan: Plan, state: RunState) -> None:
        self.namespace, self.id, self.plan, self.state = namespace, id, plan, state
        self.paused = False
        self.gone = False
        """Its record was deleted."""
        self.removing = False
        self.starting = False
        """The supervisor itself is making its task."""
        self.lost = False
        """It was running when the last daemon died, and nobody knows yet how it ended."""
        self.unhealthy = False
        """It is being ended so that it be restarted."""
        self.timer: asyncio.TimerHandle | None = None
        self.label_timer: asyncio.TimerHandle | None = None
        self.monitor: asyncio.Task[None] | None = None
        self.lock = asyncio.Lock()
        """Held while the supervisor makes or removes a task."""
        self.waiters: list[tuple[str, asyncio.Future[RunState]]] = []
        self.dirty = False
        self.writes = 0
        self.saving = asyncio.Lock()

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.id

    @property
    def status(self) -> str:
        """In Docker's words."""
        if self.removing:
            return REMOVING
        if self.state.status == RUNNING:
            return EXITED if self.lost else PAUSED if self.paused else RUNNING
        return self.state.status

    @property
    def running(self) -> bool:
        return self.state.status == RUNNING and not self.lost

    def cancel_timer(self) -> None:
        """No restart for now."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def cancel_monitor(self) -> None:
        """No further health checks."""
        if self.monitor is not None:
            self.monitor.cancel()
            self.monitor = None

    def let_go(self) -> None:
        """Nothing more happens for this container."""
        self.cancel_timer()
        self.cancel_monitor()
        if self.label_timer is not None:
            self.label_timer.cancel()
            self.label_timer = None

    def wait(self, condition: str) -> asyncio.Future[RunState]:
        """The state when the condition holds: now, or at the next exit, or when the record is gone."""
        future: asyncio.Future[RunState] = asyncio.get_running_loop().create_future()
        if condition == NOT_RUNNING and self.state.status in {CREATED, EXITED}:
            future.set_result(self.state)
        else:
            self.waiters.append((condition, future))
        return future

    def answer(self, *conditions: str) -> None:
        """Answer those who wait for one of the conditions."""
        waiting, self.waiters = self.waiters, []
        for condition, future in waiting:
            if condition not in conditions:
                self.waiters.append((condition, future))
            elif not future.done():
                future.set_result(self.state)


class Book:
    """All supervised containers."""

    def __init__(self, rows: RunStates, offload: Offload) -> None:
        self._rows, self._offload = rows, offload
        self._watched: dict[tuple[str, str], Watched] = {}
        self._writers: set[asyncio.Task[None]] = set()
        self._closing = False

    def __iter__(self) -> Iterator[Watched]:
        return iter(list(self._watched.values()))

    def __len__(self) -> int:
        return len(self._watched)

    def find(self, namespace: str, id: str) -> Watched | None:
        return self._watched.get((namespace, id))

    def get(self, namespace: str, id: str) -> Watched:
        """Raises NotFound."""
        watched = self._watched.get((namespace, id))
        if watched is None:
            raise NotFound("supervised container", id)
        return watched

    def of(self, namespace: str) -> list[Watched]:
        """Those of a namespace."""
        return [watched for watched in self._watched.values() if watched.namespace == namespace]

    def add(self, watched: Watched) -> None:
        self._watched[watched.key] = watched

    def remove(self, watched: Watched) -> None:
        self._watched.pop(watched.key, None)

    # -- rows --

    def change(self, watched: Watched, state: RunState, *, delay: float = 0.0) -> None:
        """Let the container be in another state, and write that within ``delay`` seconds."""
        watched.state = state
        watched.dirty = True
        if delay and watched.writes:
            return  # what is under way comes soon enough
        watched.writes += 1
        writer = asyncio.get_running_loop().create_task(self._write(watched, delay))
        self._writers.add(writer)
        writer.add_done_callback(self._writers.discard)

    async def settled(self, watched: Watched) -> None:
        """Return when the latest change is written. Does not raise."""
        watched.writes += 1
        await self._write(watched, 0.0)

    async def keep(self, watched: Watched, **changes: object) -> None:
        """Change some fields of the state; return when that is on the disk. Raises what the store does."""
        watched.state = replace(watched.state, **changes)  # type: ignore[arg-type]
        async with watched.saving:
            watched.dirty = False
            await self._offload(_put, self._rows, watched.key, watched.state, True)

    async def _write(self, watched: Watched, delay: float) -> None:
        try:
            if delay and not self._closing:
                await asyncio.sleep(delay)
            async with watched.saving:
                if not watched.dirty:
                    return  # a later change's writer was quicker, and wrote this one too
                watched.dirty = False
                await self._offload(_put, self._rows, watched.key, watched.state, False)
        except PycontainerdError as error:
            _log.warning("state not kept", namespace=watched.namespace, container=watched.id, error=str(error))
        finally:
            watched.writes -= 1

    async def close(self) -> None:
        """Let go of everything once what was changed is written."""
        self._closing = True
        for watched in self:
            watched.let_go()
            if watched.dirty:
                self.change(watched, watched.state)
        if self._writers:
            await asyncio.wait(self._writers, timeout=5.0)


def _put(rows: RunStates, key: tuple[str, str], state: RunState, durable: bool) -> None:
    rows.put(*key, state, durable=durable)
