"""Health checks, run as execs of the container while it runs.

A check is the container's process with another command line. Its output comes through a fifo and is read to the end,
so that a talkative check is not stopped by a full pipe; the beginning is kept. A check that takes too long is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.core.health import (
    EXEC_PREFIX,
    FAILED,
    OUTPUT_LIMIT,
    UNHEALTHY,
    Health,
    HealthCheck,
    Result,
    judged,
    pause,
    shown,
)
from pycontainerd.core.spec import PROCESS_TYPE_URL
from pycontainerd.core.tasks import Stdio
from pycontainerd.core.values import AnyValue
from pycontainerd.linux import fifo
from pycontainerd.runtime.supervisor_start import process_of
from pycontainerd.wire.messages.supervisor import HealthChanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.events import Publish
    from pycontainerd.core.tasks import TaskManager
    from pycontainerd.runtime.shims import Offload
    from pycontainerd.runtime.supervisor_book import Book, Watched

START_LIMIT = 30.0
"""Seconds that starting a check may take; that is not the check's own time."""
DRAIN_LIMIT = 1.0
"""Seconds to wait for the end of the output once the check has ended: a child may have kept the pipe open."""
CLEANUP_LIMIT = 10.0
RESULT_DELAY = 1.0
"""Seconds within which a result that changes nothing is written."""
_KILL = 9
_BLOCK = 65536
_log = structlog.get_logger("supervisor")


class Prober:
    """Runs checks; ``directory`` is for its fifos."""

    def __init__(self, tasks: TaskManager, containers: ContainerStore, offload: Offload, directory: str) -> None:
        self._tasks, self._containers, self._offload, self._directory = tasks, containers, offload, directory
        self._cleaning: set[asyncio.Task[None]] = set()

    async def run(self, namespace: str, id: str, check: HealthCheck) -> Result:
        """Run the check once. A check that cannot be run is a result, too."""
        start = _now()
        exec_id = f"{EXEC_PREFIX}{secrets.token_hex(6)}"
        output: _Output | None = None
        try:
            process = await self._offload(self._process, namespace, id, check)
            output = await self._offload(_Output, f"{self._directory}/{exec_id}")
            output.watch()
            code, error = await self._run(namespace, id, exec_id, process, output, check.timeout)
            return Result(start, _now(), code, error + output.text)
        except (PycontainerdError, OSError) as error:
            return Result(start, _now(), FAILED, str(error))
        finally:
            if output is not None:
                output.close()

    async def _run(
        self, namespace: str, id: str, exec_id: str, process: AnyValue, output: _Output, limit: float
    ) -> tuple[int, str]:
        """The exit code, and what went wrong ("" if nothing)."""
        ended = False
        try:
            async with asyncio.timeout(START_LIMIT):
                stdio = Stdio("", output.path, output.path)
                await self._tasks.exec(namespace, id, exec_id, stdio, process)
                await self._tasks.start(namespace, id, exec_id)
            try:
                async with asyncio.timeout(limit):
                    end = await self._tasks.wait(namespace, id, exec_id)
            except TimeoutError:
                separator = ": " if output.text else ""
                return FAILED, f"Health check exceeded timeout ({_duration(limit)}){separator}"
            ended = True
            await output.end(DRAIN_LIMIT)
            return end.status, ""
        except TimeoutError:
            return FAILED, f"Health check could not be started within {_duration(START_LIMIT)}"
        finally:
            work = asyncio.get_running_loop().create_task(self._clean_up(namespace, id, exec_id, kill=not ended))
            self._cleaning.add(work)
            work.add_done_callback(self._cleaning.discard)

    async def _clean_up(self, namespace: str, id: str, exec_id: str, *, kill: bool) -> None:
        try:
            async with asyncio.timeout(CLEANUP_LIMIT):
                if kill:
                    with contextlib.suppress(PycontainerdError):
                        await self._tasks.kill(namespace, id, exec_id, _KILL, all=False)
                        await self._tasks.wait(namespace, id, exec_id)
                await self._tasks.delete_process(namespace, id, exec_id)
        except (PycontainerdError, TimeoutError) as error:
            _log.debug("health check not cleaned up", namespace=namespace, container=id, reason=str(error))

    def _process(self, namespace: str, id: str, check: HealthCheck) -> AnyValue:
        """The container's process with the check's command line."""
        process = {**process_of(self._containers.get(namespace, id)), "args": list(check.command), "terminal": False}
        process.pop("consoleSize", None)
        return AnyValue(PROCESS_TYPE_URL, json.dumps(process).encode())


class Monitor:
    """Checks the health of supervised containers while they run. ``sick`` is called when one that wants to be restarted
    then has become unhealthy. Does nothing before ``open`` is set.
    """

    def __init__(self, book: Book, prober: Prober, publish: Publish, sick: Callable[[Watched], None]) -> None:
        self.open = False
        self._book, self._prober, self._publish, self._sick = book, prober, publish, sick

    def watch(self, watched: Watched, *, afresh: bool = False) -> None:
        """Check a container's health from now on, or no longer, as its state and plan ask for."""
        watched.cancel_monitor()
        check = watched.plan.health
        if afresh or (check is None) != (watched.state.health is None):
            self._book.change(watched, replace(watched.state, health=Health() if check is not None else None))
        if self.open and check is not None and watched.running and not watched.paused:
            watched.monitor = asyncio.get_running_loop().create_task(self._go_on(watched, check))

    async def _go_on(self, watched: Watched, check: HealthCheck) -> None:
        while True:
            await asyncio.sleep(pause(check, watched.state.health or Health(), _elapsed(watched)))
            await self.check(watched, check)

    async def check(self, watched: Watched, check: HealthCheck) -> None:
        """Run the check once and draw the consequences."""
        state, elapsed = watched.state, _elapsed(watched)
        result = await self._prober.run(watched.namespace, watched.id, check)
        if not watched.running or watched.state.pid != state.pid:
            return
        before = watched.state.health or Health()
        health = judged(before, check, result, elapsed)
        changed = health.status != before.status
        self._book.change(watched, replace(watched.state, health=health), delay=0.0 if changed else RESULT_DELAY)
        if not changed:
            return
        event = HealthChanged(container_id=watched.id, status=health.status)
        self._publish(watched.namespace, "/supervisor/health", event)
        if health.status == UNHEALTHY and watched.plan.restart_on_unhealthy:
            self._sick(watched)


def begun(health: Health | None) -> Health:
    """The health of a new run; earlier results are kept, as Docker does."""
    return Health(results=health.results if health is not None else ())


def _elapsed(watched: Watched) -> float:
    """Seconds since its start."""
    started = watched.state.started_at
    return (_now() - started).total_seconds() if started is not None else 0.0


class _Output:
    """A fifo that is read to its end. Made on a thread, watched on the event loop."""

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self.path = path
        os.mkfifo(path, 0o600)
        self._fd = fifo.open_reader(path)
        self._kept = bytearray()
        self._more = False
        self._ended: asyncio.Event | None = None

    @property
    def text(self) -> str:
        """What there is so far, shortened."""
        return shown(bytes(self._kept), more=self._more)

    def watch(self) -> None:
        """Begin to read."""
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._stop()
            return
        room = OUTPUT_LIMIT - len(self._kept)
        self._kept += data[:room]
        self._more = self._more or len(data) > room

    def _stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        if self._ended is not None:
            self._ended.set()

    async def end(self, limit: float) -> None:
        """Wait for the end of the output, but not for long."""
        if self._ended is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._ended.wait()

    def close(self) -> None:
        """Stop reading and remove the fifo."""
        self._stop()
        os.close(self._fd)
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def _now() -> datetime:
    return datetime.now(UTC)


def _duration(seconds: float) -> str:
    """As Go prints it: 30s, 1.5s, 500ms, 2m0s."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
