"""The restart supervisor: what happens to containers whose client has long gone, driven by their exits.

It hears of tasks in two ways: from the task manager, before whoever asked is answered, and from events. Both may tell
of the same end, and only the first counts. What it knows is in ``Book``; what it decides is in ``core.restart`` and
``core.health``. Nothing starts before ``resume``, which comes after the exits of the last daemon's time were published.

Event loop only, but for the two methods of ``core.supervision.ContainerWatcher``.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import structlog

from pycontainerd.core import restart
from pycontainerd.core.errors import AlreadyExists, NotFound, PycontainerdError
from pycontainerd.core.health import UNHEALTHY
from pycontainerd.core.restart import Attempts, End, decide
from pycontainerd.core.supervision import (
    CREATED,
    EXITED,
    NOT_STARTED,
    RESTARTING,
    RUNNING,
    RunState,
    plan_of,
)
from pycontainerd.core.tasks import Exit, Process, Status
from pycontainerd.runtime.convert import now, stamp_of, time_of
from pycontainerd.runtime.supervisor_book import NEXT_EXIT, NOT_RUNNING, REMOVED, Book, Watched
from pycontainerd.runtime.supervisor_health import Monitor, begun
from pycontainerd.wire import failpoint
from pycontainerd.wire.codec import DecodeError
from pycontainerd.wire.messages.events_task import TaskExit, TaskOOM, TaskPaused, TaskResumed
from pycontainerd.wire.messages.supervisor import RestartScheduled

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime

    from pycontainerd.core.containers import Container
    from pycontainerd.core.events import Envelope, Publish
    from pycontainerd.core.tasks import TaskManager
    from pycontainerd.runtime.supervisor_health import Prober
    from pycontainerd.runtime.supervisor_start import Starter

T = TypeVar("T")

TOPICS = ("/tasks/exit", "/tasks/oom", "/tasks/paused", "/tasks/resumed")
"""The events it needs."""
LABEL_DELAY = 10.0
"""Seconds after which a changed ``restart.status`` label is enforced: its client usually does so itself at once."""
REMOVE_PAUSES = (0.5, 2.0, 10.0, 60.0)
"""Seconds before further attempts to remove a container that could not be removed."""
_KILL = 9
LIVE = (Status.RUNNING, Status.PAUSED, Status.PAUSING)
_log = structlog.get_logger("supervisor")


class Supervisor:
    """Restarts, removes, checks, remembers. ``load`` before requests are served, ``resume`` a moment after."""

    def __init__(self, book: Book, tasks: TaskManager, starter: Starter, prober: Prober, publish: Publish) -> None:
        self.book, self.tasks, self.starter = book, tasks, starter
        self.monitor = Monitor(book, prober, publish, self._sick)
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self.open = False
        self.early: dict[tuple[str, str], Exit] = {}
        self._work: set[asyncio.Task[object]] = set()

    def spawn(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Run to the end, whatever happens to whoever wanted it."""
        task = self._loop.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[object]) -> None:
        self._work.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, PycontainerdError):
            _log.error("supervision failed", exc_info=error)

    async def close(self) -> None:
        """Let go; containers run on."""
        self.open = False
        for task in self._work:
            task.cancel()
        await self.book.close()

    # -- told of records (any thread) --

    def changed(self, namespace: str, container: Container) -> None:
        """A record was made or changed."""
        self._loop.call_soon_threadsafe(self._changed, namespace, container)

    def deleted(self, namespace: str, id: str) -> None:
        """A record was deleted."""
        self._loop.call_soon_threadsafe(self._deleted, namespace, id)

    def _changed(self, namespace: str, container: Container) -> None:
        plan, watched = plan_of(container), self.book.find(namespace, container.id)
        if plan is None:
            if watched is not None:
                self._deleted(namespace, container.id)
            return
        if watched is None:
            watched = Watched(namespace, container.id, plan, RunState())
            self.book.add(watched)
            if plan.by_labels:
                self.spawn(self._look(watched))
        old, watched.plan = watched.plan, plan
        if plan.held_down or (plan.policy.name == restart.NO and plan.policy != old.policy):
            self.stay_down(watched)
        if watched.running and plan.health != old.health:
            self.monitor.watch(watched, afresh=True)
        if plan.by_labels and (plan.wanted != old.wanted or watched.state.status == CREATED):
            self.check_labels_later(watched)

    def _deleted(self, namespace: str, id: str) -> None:
        watched = self.book.find(namespace, id)
        if watched is not None:
            watched.gone = True
            watched.let_go()
            self.early.pop(watched.key, None)
            self.book.remove(watched)
            watched.answer(NOT_RUNNING, NEXT_EXIT, REMOVED)

    def adopt(self, watched: Watched, process: Process) -> None:
        """A task that runs was found."""
        state = watched.state
        watched.paused = process.status != Status.RUNNING
        if state.status != RUNNING or state.pid != process.pid:
            state = replace(state, status=RUNNING, pid=process.pid, started_at=now(), restart_at=None)
            self.book.change(watched, state)
        self.monitor.watch(watched)

    async def _look(self, watched: Watched) -> None:
        """A container that was put under supervision may run already."""
        try:
            process = await self.tasks.get(watched.namespace, watched.id)
        except NotFound:
            return
        if process.status in LIVE and watched.state.status == CREATED:
            self.adopt(watched, process)

    # -- told of tasks (core.tasks.TaskWatcher) --

    def created(self, namespace: str, id: str, pid: int) -> None:
        """Somebody has made a task: no restart beside it."""
        watched = self.book.find(namespace, id)
        if watched is None:
            return
        self.early.pop(watched.key, None)
        if not watched.starting and watched.state.status == RESTARTING:
            self.stay_down(watched)

    async def started(self, namespace: str, id: str, pid: int) -> None:
        """A task runs. Returns when it is on the disk that it should, where that matters after a boot."""
        watched = self.book.find(namespace, id)
        if watched is None:
            return
        old, plan = watched.state, watched.plan
        watched.cancel_timer()
        watched.paused = watched.lost = watched.unhealthy = False
        state = RunState(
            RUNNING,
            pid,
            stopped=old.stopped and watched.starting,
            started_at=now(),
            finished_at=old.finished_at,
            attempts=old.attempts if watched.starting else Attempts(),
            health=begun(old.health) if plan.health is not None else None,
        )
        self.book.change(watched, state)
        early = self.early.pop(watched.key, None)
        if early is not None and early.pid in {0, pid}:
            self.end(watched, early)
        else:
            self.monitor.watch(watched)
        failpoint.hit("supervisor.started")
        if plan.policy.name != restart.NO:
            try:
                await self.book.keep(watched)
            except PycontainerdError as error:
                _log.warning("start not kept", namespace=namespace, container=id, error=str(error))

    def ended(self, namespace: str, id: str, exit: Exit) -> None:
        """A task's first process has ended."""
        watched = self.book.find(namespace, id)
        if watched is None:
            return
        if watched.state.status == RUNNING and exit.pid in {0, watched.state.pid}:
            self.end(watched, exit)
        elif exit.pid != watched.state.pid:
            self.early[watched.key] = exit  # before its start was answered; one that is older does no harm

    async def forgotten(self, namespace: str, id: str, exit: Exit) -> None:
        """A task was deleted: what is known of its end is on the disk when this returns."""
        self.ended(namespace, id, exit)
        watched = self.book.find(namespace, id)
        if watched is not None and watched.dirty and not watched.plan.auto_remove:
            await self.book.settled(watched)

    def event(self, envelope: Envelope) -> None:
        """An event of ``TOPICS``."""
        namespace, data = envelope.namespace, envelope.event.value
        try:
            if envelope.topic == "/tasks/exit":
                told = TaskExit.decode(data)
                if told.id == told.container_id and told.exited_at is not None:
                    ended = Exit(told.pid, told.exit_status, time_of(told.exited_at))
                    self.ended(namespace, told.container_id, ended)
            elif envelope.topic == "/tasks/oom":
                self._out_of_memory(namespace, TaskOOM.decode(data).container_id)
            elif envelope.topic == "/tasks/paused":
                self._pause(namespace, TaskPaused.decode(data).container_id, paused=True)
            elif envelope.topic == "/tasks/resumed":
                self._pause(namespace, TaskResumed.decode(data).container_id, paused=False)
        except DecodeError as error:
            _log.warning("event not understood", topic=envelope.topic, error=str(error))

    def _out_of_memory(self, namespace: str, id: str) -> None:
        watched = self.book.find(namespace, id)
        if watched is not None and watched.state.started_at is not None:
            self.book.change(watched, replace(watched.state, oom_killed=True))

    def _pause(self, namespace: str, id: str, *, paused: bool) -> None:
        watched = self.book.find(namespace, id)
        if watched is not None and watched.running and watched.paused != paused:
            watched.paused = paused
            self.monitor.watch(watched)

    # -- what follows from an end --

    def end(self, watched: Watched, exit: Exit, error: str = "") -> None:
        failpoint.hit("supervisor.exit")
        state, plan = watched.state, watched.plan
        watched.cancel_monitor()
        finished = exit.at or now()
        ran = (finished - state.started_at).total_seconds() if state.started_at is not None else 0.0
        unhealthy = watched.unhealthy and plan.restart_on_unhealthy
        watched.paused = watched.lost = watched.unhealthy = False
        end = End(exit.status, ran, state.stopped, unhealthy)
        health = replace(state.health, status=UNHEALTHY) if state.health is not None else None
        state = replace(
            state,
            pid=0,
            exit_code=exit.status,
            error=error,
            started_at=state.started_at or finished,
            finished_at=finished,
            health=health,
        )
        self._settle(watched, state, end)

    def _settle(self, watched: Watched, state: RunState, end: End) -> None:
        """Restart it, remove it, or leave it alone."""
        attempts = None if watched.plan.held_down else decide(watched.plan.policy, end, state.attempts)
        if attempts is None:
            self.book.change(watched, replace(state, status=EXITED, restart_at=None))
            watched.answer(NOT_RUNNING, NEXT_EXIT)
            if watched.plan.auto_remove and self.open:
                self.spawn(self.remove_soon(watched))
            return
        due = now() + timedelta(seconds=attempts.pause)
        self.book.change(watched, replace(state, status=RESTARTING, attempts=attempts, restart_at=due))
        failpoint.hit("supervisor.exit.noted")
        event = RestartScheduled(
            container_id=watched.id,
            exit_code=state.exit_code,
            restart_count=attempts.count,
            restart_at=stamp_of(due),
        )
        self._publish(watched.namespace, "/supervisor/restart", event)
        watched.answer(NOT_RUNNING, NEXT_EXIT)
        self.arm(watched, due)

    def arm(self, watched: Watched, due: datetime | None) -> None:
        watched.cancel_timer()
        if self.open:
            delay = (due - now()).total_seconds() if due is not None else 0.0
            delay = min(max(delay, 0.0), restart.LONGEST_PAUSE)  # the clock may have been set meanwhile
            watched.timer = self._loop.call_later(delay, lambda: self.spawn(self._restart(watched)))

    def stay_down(self, watched: Watched) -> None:
        """No restart after all."""
        watched.cancel_timer()
        if watched.state.status == RESTARTING:
            self.book.change(watched, replace(watched.state, status=EXITED, restart_at=None))
            watched.answer(NOT_RUNNING)

    async def _restart(self, watched: Watched) -> None:
        watched.timer = None
        async with watched.lock:
            if watched.gone or watched.removing or watched.state.status != RESTARTING:
                return
            failpoint.hit("supervisor.restart")
            watched.starting = True
            try:
                await self.starter.start(watched.namespace, watched.id)
                if watched.plan.by_labels:
                    await self.starter.count(watched.namespace, watched.id, watched.state.attempts.count)
            except AlreadyExists:
                self.stay_down(watched)  # somebody else was quicker
            except PycontainerdError as error:
                self._not_started(watched, error)
            finally:
                watched.starting = False
        if watched.running and (watched.gone or watched.state.stopped):
            await self._finish_off(watched)

    def _not_started(self, watched: Watched, error: PycontainerdError) -> None:
        if watched.gone or watched.state.status != RESTARTING:
            return  # deleted or stopped meanwhile
        _log.warning("restart failed", namespace=watched.namespace, container=watched.id, error=str(error))
        state = replace(watched.state, exit_code=NOT_STARTED, finished_at=now(), error=str(error))
        self._settle(watched, state, End(NOT_STARTED, 0.0, state.stopped))

    async def _finish_off(self, watched: Watched) -> None:
        """Somebody stopped or deleted it in the very moment in which it was restarted."""
        try:
            await self.tasks.kill(watched.namespace, watched.id, "", _KILL, all=False)
            await self.tasks.wait(watched.namespace, watched.id)
            if watched.gone:
                await self.starter.clear(watched.namespace, watched.id)
        except PycontainerdError as error:
            _log.debug("ended by itself", namespace=watched.namespace, container=watched.id, reason=str(error))

    async def remove_soon(self, watched: Watched) -> None:
        """Remove a container that was to go with its end; tried again when it fails."""
        for delay in (*REMOVE_PAUSES, 0.0):
            try:
                await self.remove(watched, volumes=True)
                return
            except PycontainerdError as error:
                reason = str(error)
                _log.warning("container not removed", namespace=watched.namespace, container=watched.id, error=reason)
                self.book.change(watched, replace(watched.state, error=f"not removed: {reason}"))
            await asyncio.sleep(delay)
        watched.answer(REMOVED)

    async def remove(self, watched: Watched, *, volumes: bool) -> None:
        """Remove a container that does not run. Raises what a step raises; can be repeated."""
        async with watched.lock:
            if watched.gone:
                return
            watched.removing = True
            watched.let_go()
            try:
                await self.starter.remove(watched.namespace, watched.id, volumes=volumes)
            except BaseException:
                watched.removing = False
                raise

    # -- labels --

    def check_labels_later(self, watched: Watched) -> None:
        if watched.label_timer is not None:
            watched.label_timer.cancel()
        watched.label_timer = self._loop.call_later(LABEL_DELAY, lambda: self.spawn(self._check_labels(watched)))

    async def _check_labels(self, watched: Watched) -> None:
        """Make a container what its ``restart.status`` label wants."""
        watched.label_timer = None
        plan, status = watched.plan, watched.state.status
        if watched.gone or not plan.by_labels:
            return
        if plan.wanted != RUNNING and watched.running:
            await self._finish_off(watched)
        elif (
            status in {CREATED, EXITED}
            and not plan.held_down
            and not watched.state.stopped
            and plan.policy.name in {restart.ALWAYS, restart.UNLESS_STOPPED}
            and not await self._has_task(watched)
        ):
            self.book.change(watched, replace(watched.state, status=RESTARTING))
            self.arm(watched, None)

    async def _has_task(self, watched: Watched) -> bool:
        try:
            return (await self.tasks.get(watched.namespace, watched.id)).status != Status.STOPPED
        except NotFound:
            return False

    # -- ending --

    def _sick(self, watched: Watched) -> None:
        """It has become unhealthy and asks to be restarted then."""
        _log.info("unhealthy, is restarted", namespace=watched.namespace, container=watched.id)
        watched.unhealthy = True
        self.spawn(self.quit(watched))

    async def quit(self, watched: Watched, signal: int = 0, patience: float | None = None) -> None:
        """Ask it to end and kill it when it does not; see ``core.supervision.Plan`` for the defaults.

        A negative patience never kills. Not running is fine.
        """
        patience = watched.plan.patience if patience is None else patience
        number = _KILL if patience == 0 else signal or watched.plan.stop_number
        limit = None if patience < 0 or number == _KILL else patience
        try:
            await self.tasks.kill(*watched.key, "", number, all=False)
            if watched.paused:
                await self.tasks.resume(*watched.key)
            try:
                async with asyncio.timeout(limit):
                    await self.tasks.wait(*watched.key)
            except TimeoutError:
                await self.tasks.kill(*watched.key, "", _KILL, all=False)
                await self.tasks.wait(*watched.key)
        except NotFound:
            pass
