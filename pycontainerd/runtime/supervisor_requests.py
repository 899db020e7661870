"""What clients ask of the supervisor: the engine of ``pycontainerd.supervisor.v1``.

Requests about containers that are not supervised (those of ``ctr``, say) are served as far as they need no memory.
What changes something goes on when the client goes away.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from pycontainerd.core import happenings
from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, NotFound, PycontainerdError
from pycontainerd.core.happenings import untold
from pycontainerd.core.health import Health
from pycontainerd.core.restart import parse
from pycontainerd.core.supervision import (
    CREATED,
    EXITED,
    NOT_STARTED,
    RESTARTING,
    Plan,
    RunState,
    plan_of,
    with_policy,
)
from pycontainerd.runtime.supervisor import LIVE
from pycontainerd.runtime.supervisor_book import CONDITIONS, NEXT_EXIT, NOT_RUNNING, REMOVED, Watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.happenings import Tell
    from pycontainerd.core.tasks import Process
    from pycontainerd.runtime.shims import Offload
    from pycontainerd.runtime.supervisor import Supervisor


class Requests:
    """Every method raises NotFound for an unknown container."""

    def __init__(
        self, supervisor: Supervisor, containers: ContainerStore, offload: Offload, tell: Tell = untold
    ) -> None:
        self._supervisor, self._containers, self._offload = supervisor, containers, offload
        self._book, self._tasks, self._tell = supervisor.book, supervisor.tasks, tell

    def status(self, namespace: str, ids: Sequence[str] = ()) -> Sequence[Watched]:
        """The supervised ones among these, or all of the namespace."""
        if not ids:
            return self._book.of(namespace)
        found = (self._book.find(namespace, each) for each in ids)
        return [watched for watched in found if watched is not None]

    async def start(self, namespace: str, id: str) -> int:
        """Make the task and start it; one that runs is left alone. Returns the pid; raises what goes wrong."""
        return await asyncio.shield(self._supervisor.spawn(self._start(await self._find(namespace, id))))

    async def _start(self, watched: Watched) -> int:
        async with watched.lock:
            process = await self._process(watched)
            if process is not None and process.status in LIVE:
                return process.pid
            watched.cancel_timer()
            try:
                return await self._supervisor.starter.start(*watched.key)
            except PycontainerdError as error:
                state = replace(watched.state, exit_code=watched.state.exit_code or NOT_STARTED, error=str(error))
                self._book.change(watched, state)
                self._supervisor.stay_down(watched)
                raise

    async def mark_stopped(self, namespace: str, id: str) -> None:
        """Nobody starts it again but by hand (or, under ``always``, the next boot). Durable when this returns."""
        watched = await self._find(namespace, id)
        await self._mark(watched)

    async def _mark(self, watched: Watched) -> None:
        if self._book.find(*watched.key) is watched:
            await self._book.keep(watched, stopped=True)
        self._supervisor.stay_down(watched)

    async def stop(self, namespace: str, id: str, signal: int = 0, patience: float | None = None) -> int:
        """Ask it to end, kill it when it does not; return its exit code. Not running is fine.

        ``patience`` in seconds: 0 kills at once, a negative one never, None is the container's own.
        """
        watched = await self._find(namespace, id)
        await asyncio.shield(self._supervisor.spawn(self._stop_and_tell(watched, signal, patience)))
        return watched.state.exit_code

    async def _stop_and_tell(self, watched: Watched, signal: int, patience: float | None) -> None:
        if await self._stop(watched, signal, patience):
            self._tell(watched.namespace, happenings.container("stop", watched.id))

    async def _stop(self, watched: Watched, signal: int, patience: float | None) -> bool:
        """Whether there was something to stop."""
        await self._mark(watched)
        async with watched.lock:  # a restart may be under way
            pass
        process = await self._process(watched)
        if process is None or process.status not in LIVE:
            return False
        watched.paused = process.status != LIVE[0]
        await self._supervisor.quit(watched, signal, patience)
        return True

    async def set_policy(self, namespace: str, id: str, policy: str) -> None:
        """Change the restart policy where the container keeps it. Raises InvalidArgument."""
        wanted = parse(policy)
        container = await self._offload(self._containers.get, namespace, id)
        changed, paths = with_policy(container, wanted)
        await self._offload(self._containers.update, namespace, changed, paths)

    async def wait(self, namespace: str, id: str, condition: str = "") -> RunState:
        """The state once the condition holds (``CONDITIONS``). Raises InvalidArgument."""
        condition = condition or NOT_RUNNING
        if condition not in CONDITIONS:
            raise InvalidArgument("condition", condition, f"there are {', '.join(CONDITIONS)}")
        watched = await self._find(namespace, id)
        if self._book.find(namespace, id) is not watched:
            return await self._wait_unsupervised(watched, condition)
        future = watched.wait(condition)
        try:
            return await future
        finally:
            watched.waiters = [pair for pair in watched.waiters if pair[1] is not future]

    async def _wait_unsupervised(self, watched: Watched, condition: str) -> RunState:
        if condition == REMOVED:
            raise FailedPrecondition("container", watched.id, "nobody here would notice its removal")
        try:
            ended = await self._tasks.wait(*watched.key)
        except NotFound:
            if condition == NEXT_EXIT:
                raise
            return watched.state
        return RunState(EXITED, exit_code=ended.status, finished_at=ended.at)

    async def health(self, namespace: str, id: str, *, run: bool = False) -> Health | None:
        """The container's health, None without a check. ``run`` checks it first; raises FailedPrecondition when it
        does not run.
        """
        watched = await self._find(namespace, id)
        check = watched.plan.health
        if check is None:
            return None
        if run:
            if not watched.running or watched.paused:
                raise FailedPrecondition("container", id, "it is not running, so its health cannot be checked")
            await self._supervisor.monitor.check(watched, check)
        return watched.state.health or Health()

    async def remove(self, namespace: str, id: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container with all that is its own. Raises FailedPrecondition while it runs, unless forced."""
        watched = await self._find(namespace, id)
        await asyncio.shield(self._supervisor.spawn(self._remove(watched, force=force, volumes=volumes)))

    async def _remove(self, watched: Watched, *, force: bool, volumes: bool) -> None:
        process = await self._process(watched)
        status = watched.state.status
        if (process is not None and process.status in LIVE) or status == RESTARTING:
            if not force:
                word = "paused" if watched.paused else "restarting" if status == RESTARTING else "running"
                hint = "stop the container first, or use force"
                raise FailedPrecondition(f"You cannot remove a {word} container {watched.id}", hint=hint)
            await self._stop(watched, 0, 0.0)
        await self._supervisor.remove(watched, volumes=volumes)

    async def _find(self, namespace: str, id: str) -> Watched:
        """The supervised container; for another one, one that nobody remembers."""
        watched = self._book.find(namespace, id)
        if watched is None:
            container = await self._offload(self._containers.get, namespace, id)
            watched = self._book.find(namespace, id) or Watched(
                namespace, id, plan_of(container) or Plan(), RunState(CREATED)
            )
        return watched

    async def _process(self, watched: Watched) -> Process | None:
        try:
            return await self._tasks.get(*watched.key)
        except NotFound:
            return None
