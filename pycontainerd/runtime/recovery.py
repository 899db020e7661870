"""The start of a daemon: everything that ran goes on running and is known again; what has no owner is cleaned away.

Nothing here is fatal. Bundles are looked at side by side, since each costs a shim's answer. Exits that nobody was told
of are collected first and published by ``announce``, once there can be subscribers to hear of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.core.errors import NotFound, PycontainerdError
from pycontainerd.core.runtimes import RUNC_V2, choose_shim
from pycontainerd.core.tasks import Exit, Process, Status
from pycontainerd.runtime import bundle as bundles
from pycontainerd.runtime.convert import process_of
from pycontainerd.runtime.deaths import Remains, lay_out, remove_bundle
from pycontainerd.runtime.exits import INIT, delete_event, exit_event, process_name, read_records
from pycontainerd.runtime.shims import CONNECT_LIMIT, ShimGone, connect_task
from pycontainerd.runtime.table import Task
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from pycontainerd.core.bundle import Bootstrap, Bundle
    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.runtime.creation import TaskSettings
    from pycontainerd.runtime.logfifo import LogFifo
    from pycontainerd.runtime.shims import Shim
    from pycontainerd.runtime.tasks import Tasks

PARALLEL = 64
"""Bundles looked at at the same time."""
_log = structlog.get_logger("runtime")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start found: tasks that live on, dead ones cleaned up after, shims and directories without an owner."""

    adopted: int
    buried: int
    leaked: int
    failed: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What a bundle's files say. ``bootstrap`` is None for one whose shim was never started."""

    bundle: Bundle
    bootstrap: Bootstrap | None
    binary: str
    published: set[tuple[str, int]]
    sandboxed: bool


class Recovery:
    """Takes over what an earlier daemon left under the state directory. Used once, before requests are served."""

    def __init__(self, tasks: Tasks, settings: TaskSettings, containers: ContainerStore) -> None:
        self._tasks, self._settings, self._containers = tasks, settings, containers
        self._dead: list[tuple[_Known, Remains]] = []
        self._ended: list[tuple[Task, list[Exit]]] = []
        self._orphans: list[Bundle] = []
        self._sockets: set[str] = set()

    async def run(self) -> Recovered:
        """Reconnect, clean up, collect; never raises for a bad bundle."""
        found = await self._tasks.offload(bundles.sweep, self._settings.state, self._settings.root)
        gate = asyncio.Semaphore(PARALLEL)
        outcomes = await asyncio.gather(*(self._one(bundle, gate) for bundle in found), return_exceptions=True)
        for bundle, outcome in zip(found, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                if not isinstance(outcome, Exception):
                    raise outcome
                _log.error("bundle not recovered", namespace=bundle.namespace, container=bundle.id, error=str(outcome))
        if strays := await self._tasks.shims.end_strays(self._sockets):
            _log.info("shims without a bundle", count=strays)
        adopted, buried, leaked = (outcomes.count(kind) for kind in ("adopted", "buried", "leaked"))
        return Recovered(adopted, buried, leaked, len(found) - adopted - buried - leaked)

    async def _one(self, bundle: Bundle, gate: asyncio.Semaphore) -> str:
        async with gate:
            known = await self._tasks.offload(self._read, bundle)
            failpoint.hit("recovery.bundle")
            log = self._tasks.shims.open_log(bundle)  # first: a shim may be waiting for somebody to read it
            outcome = "failed"
            try:
                outcome = await self._judge(known, log)
            finally:
                if log is not None and outcome != "adopted":
                    log.close()
            return outcome

    async def _judge(self, known: _Known, log: LogFifo | None) -> str:
        if known.bootstrap is not None:
            self._sockets.add(known.bootstrap.address.removeprefix("unix://"))
        shim = await self._reach(known)
        if shim is None:
            await self._bury(known)
            return "buried"
        state = await self._state(shim, known.bundle)
        if state is None:
            await self._clear(known, shim)
            return "leaked"
        await self._adopt(known, shim, state, log)
        if state.status == Status.CREATED and not await self._tasks.offload(self._has_record, known.bundle):
            self._orphans.append(known.bundle)
        return "adopted"

    def _has_record(self, bundle: Bundle) -> bool:
        try:
            self._containers.get(bundle.namespace, bundle.id)
        except NotFound:
            return False
        return True

    async def _give_up(self, bundle: Bundle) -> None:
        """Delete a task that was never started, of a container that is no more: its client went away in mid-create, and
        the daemon died before it had taken that back."""
        try:
            if not await self._tasks.offload(self._has_record, bundle):
                await self._tasks.delete(bundle.namespace, bundle.id)
        except PycontainerdError as error:
            _log.warning("leaked task not deleted", namespace=bundle.namespace, container=bundle.id, error=str(error))

    def _read(self, bundle: Bundle) -> _Known:
        bootstrap = None
        try:
            bootstrap = bundles.load_bootstrap(bundle)
        except (PycontainerdError, OSError) as error:
            _log.info("bundle without a shim", namespace=bundle.namespace, container=bundle.id, reason=str(error))
        sandboxed = bool(bundles.read_file(bundle.sandbox))
        return _Known(bundle, bootstrap, self._binary(bundle), bundles.read_published(bundle), sandboxed)

    def _binary(self, bundle: Bundle) -> str:
        """The shim's binary as the bundle names it, else as the container's runtime does."""
        if path := bundles.read_file(bundle.shim_binary).decode("utf-8", "replace").strip():
            return path
        try:
            runtime = self._containers.get(bundle.namespace, bundle.id).runtime
        except NotFound:
            runtime = RUNC_V2
        choice = choose_shim(runtime, "", self._settings.runtimes)
        return choice.binary or self._tasks.shims.builtin_binary

    async def _reach(self, known: _Known) -> Shim | None:
        if known.bootstrap is None:
            return None
        shim = None
        try:
            shim = await self._tasks.shims.join(known.bundle, known.bootstrap, known.binary)
            await connect_task(shim, known.bundle.id)
        except PycontainerdError as error:
            if shim is not None and isinstance(error, NotFound) and not isinstance(error, ShimGone):
                return shim  # older shims answer so when they live but have no such task
            _log.info("shim is gone", namespace=known.bundle.namespace, container=known.bundle.id, reason=str(error))
            return None
        return shim

    async def _state(self, shim: Shim, bundle: Bundle) -> Process | None:
        """How the task is; None when the shim never had it, or has deleted it already."""
        try:
            request = task_pb2.StateRequest(id=bundle.id)
            answer = await shim.call("State", request, task_pb2.StateResponse, limit=CONNECT_LIMIT)
        except NotFound:
            return None
        return process_of(bundle.id, "", answer)

    async def _adopt(self, known: _Known, shim: Shim, state: Process, log: LogFifo | None) -> None:
        task = Task(known.bundle, shim, state.pid)
        task.published, task.sandboxed, task.mounts = known.published, known.sandboxed, known.bundle.id
        task.log = log
        self._tasks.adopt(task)
        records = await self._tasks.offload(read_records, known.bundle)
        init = records.pop(INIT, None)
        ended = list(records.values())
        if state.status == Status.STOPPED:
            ended.append(init or Exit(state.pid, state.exit_status, state.exited_at))
        unheard = [item for item in ended if (process_name(item.id), item.pid) not in task.published]
        if unheard:
            self._ended.append((task, unheard))

    async def _bury(self, known: _Known) -> None:
        bundle, address = known.bundle, known.bootstrap.address if known.bootstrap is not None else ""
        remains = await self._tasks.offload(lay_out, self._tasks.foreign, bundle, known.binary)
        failpoint.hit("recovery.buried")
        if known.bootstrap is not None:
            self._dead.append((known, remains))
        await self._tasks.offload(remove_bundle, bundle, address.removeprefix("unix://"))
        await self._tasks.offload(self._tasks.preparer.remove, bundle, bundle.id)

    async def _clear(self, known: _Known, shim: Shim) -> None:
        """A shim without its task: the daemon died between two steps of a create or a delete."""
        bundle, shims = known.bundle, self._tasks.shims
        shim.holds.discard(bundle.id)
        if not shim.holds and not known.sandboxed:
            try:
                await shims.shut_down(shim, bundle.id)
            except PycontainerdError as error:
                _log.warning("leaked shim does not end", container=bundle.id, error=str(error))
        await self._tasks.offload(self._tasks.preparer.remove, bundle, bundle.id)

    def ends(self) -> dict[tuple[str, str], Exit]:
        """How the tasks ended whose shims were found gone, by namespace and container id; empty once announced."""
        return {(known.bundle.namespace, known.bundle.id): remains.init for known, remains in self._dead}

    def announce(self) -> int:
        """Publish the exits that happened unheard, oldest first; return how many events went out.

        To be called once subscribers had time to come back; for later ones there is ``Publishing.recall``.
        """
        publishing, count = self._tasks.publishing, 0
        for task, ended in self._ended:
            if self._tasks.table.holds(task):
                count += publishing.exits(task, sorted(ended, key=lambda item: not item.id))
        for known, remains in self._dead:
            namespace, container = known.bundle.namespace, known.bundle.id
            for ended_process in [*remains.execs.values(), remains.init]:
                if (process_name(ended_process.id), ended_process.pid) not in known.published:
                    publishing.former(namespace, container, "/tasks/exit", exit_event(container, ended_process))
                    count += 1
            publishing.former(namespace, container, "/tasks/delete", delete_event(container, remains.init))
            count += 1
        for bundle in self._orphans:  # now that their shims find somebody to tell of it
            self._tasks.spawn(self._give_up(bundle))
        self._ended, self._dead, self._orphans = [], [], []
        return count
