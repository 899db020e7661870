"""Tasks: everything that runs, in all namespaces. The daemon's side of ``core.tasks.TaskManager``.

A shim does the work and says how it went; here is decided which shim, in which order, and what is true when a shim, the
template or the daemon itself dies in between. Event loop only; what blocks goes through ``offload``.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

import structlog

from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.core.errors import NotFound, PycontainerdError
from pycontainerd.core.happenings import untold
from pycontainerd.core.spans import no_span
from pycontainerd.core.tasks import Exit
from pycontainerd.runtime.convert import any_message, exit_of, mount_message, now
from pycontainerd.runtime.deaths import Remains, lay_out
from pycontainerd.runtime.exits import UNKNOWN, delete_event
from pycontainerd.runtime.groupmoves import GroupMoves
from pycontainerd.runtime.publishing import Publishing
from pycontainerd.runtime.shims import ShimGone, connect_task
from pycontainerd.runtime.table import Table, Task
from pycontainerd.runtime.taskcalls import TaskCalls
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.events import Envelope, Publish
    from pycontainerd.core.happenings import Tell
    from pycontainerd.core.spans import Span
    from pycontainerd.core.tasks import CreateTask
    from pycontainerd.runtime.checkpoints import Checkpoints
    from pycontainerd.runtime.creation import Prepared, Preparer
    from pycontainerd.runtime.foreign import ForeignShims
    from pycontainerd.runtime.shims import Offload, Shim, Shims

T = TypeVar("T")

_UNDO_LIMIT = 10.0
_CREATE_STEP = "failed to create shim task"
"""How containerd begins the message of a shim that could not create; Docker's users know it, and so do scripts."""
_log = structlog.get_logger("runtime")


class Tasks(TaskCalls):
    """The task manager. ``publish`` gets the events the daemon must send in a dead shim's place."""

    def __init__(
        self,
        table: Table,
        shims: Shims,
        preparer: Preparer,
        *,
        foreign: ForeignShims,
        containers: ContainerStore,
        checkpoints: Checkpoints,
        offload: Offload,
        publish: Publish,
        tell: Tell = untold,
        span: Span = no_span,
    ) -> None:
        super().__init__(table, containers, checkpoints, offload, tell)
        self.shims, self.preparer, self.foreign = shims, preparer, foreign
        self.publishing = Publishing(table, publish)
        self._moves, self._span = GroupMoves(), span
        self._background: set[asyncio.Task[object]] = set()
        shims.on_dead = self._shim_died

    def spawn(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Run to the end whatever happens to the caller, keeping the task from being collected."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[object]) -> None:
        """Whoever wanted it may have gone: what a client did wrong is no news then, and a bug never goes unseen."""
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, PycontainerdError):
            _log.error("task work failed", exc_info=error)

    # Create, start, delete

    async def create(self, namespace: str, request: CreateTask) -> int:
        """Make bundle and shim, have the runtime create the container; return the init pid.

        Raises NotFound (no such container), AlreadyExists (it has a task), Unknown (runtime or options), Unavailable.
        A caller that goes away while it runs leaves no task behind.
        """
        work = self.spawn(self._create(namespace, request))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.spawn(self._undo_create(work, namespace, request.container_id))
            raise

    async def _undo_create(self, work: asyncio.Task[int], namespace: str, id: str) -> None:
        with contextlib.suppress(PycontainerdError):
            await work
            await self.delete(namespace, id)

    async def _create(self, namespace: str, request: CreateTask) -> int:
        self.table.reserve(namespace, request.container_id)
        try:
            with self._moves.expected():
                return await self._make(namespace, request)
        finally:
            self.table.release(namespace, request.container_id)

    async def _make(self, namespace: str, request: CreateTask) -> int:
        with self._span("task.prepare", container=request.container_id):
            prepared = await self.offload(self.preparer.prepare, namespace, request)
        log = self.shims.open_log(prepared.bundle)
        try:
            task = await self._create_in_shim(prepared, request)
        except BaseException:
            if log is not None:
                log.close()
            await self.offload(self.preparer.discard, prepared)
            raise
        task.log = log
        self.adopt(task)
        self.watcher.created(namespace, task.id, task.pid)
        failpoint.hit("task.create.done")
        return task.pid

    def adopt(self, task: Task) -> None:
        """Put a task into the table; one whose shim was lost this very moment is cleaned up after at once."""
        self.table.add(task)
        if not task.shim.alive:
            self.spawn(self._bury(task))

    async def _create_in_shim(self, prepared: Prepared, request: CreateTask) -> Task:
        bundle = prepared.bundle
        with self._span("task.shim", container=bundle.id):
            shim = await self._shim_for(prepared)
        failpoint.hit("task.create.shim")
        stdio = request.stdio
        message = task_pb2.CreateTaskRequest(
            id=bundle.id,
            bundle=bundle.path,
            rootfs=[mount_message(mount) for mount in prepared.rootfs],
            terminal=stdio.terminal,
            stdin=stdio.stdin,
            stdout=stdio.stdout,
            stderr=stdio.stderr,
            checkpoint=prepared.checkpoint,
            options=any_message(prepared.options),
        )
        try:
            with self._span("task.create", container=bundle.id):
                answer = await shim.call_first("Create", message, task_pb2.CreateTaskResponse)
            pid = answer.pid or (await connect_task(shim, bundle.id)).task_pid
        except BaseException as error:
            await self._undo_in_shim(prepared, shim)
            if isinstance(error, PycontainerdError):
                raise error.during(_CREATE_STEP) from error
            raise
        task = Task(bundle, shim, pid)
        task.sandboxed, task.mounts = prepared.sandboxed, prepared.mounts
        return task

    async def _shim_for(self, prepared: Prepared) -> Shim:
        bundle, bootstrap = prepared.bundle, prepared.bootstrap
        if prepared.joins and bootstrap is not None:
            return await self.shims.join(bundle, bootstrap, self.shims.builtin_binary)
        if prepared.choice.builtin and bootstrap is not None:
            return await self.shims.start_builtin(bundle, bootstrap, prepared.program)
        return await self.shims.start_foreign(bundle, prepared.choice, prepared.options)

    async def _undo_in_shim(self, prepared: Prepared, shim: Shim) -> None:
        """Take back a create that failed half-way, through the shim or, if that has died, past it."""
        bundle = prepared.bundle
        try:
            request = task_pb2.DeleteRequest(id=bundle.id)
            await shim.call("Delete", request, task_pb2.DeleteResponse, limit=_UNDO_LIMIT)
        except PycontainerdError as error:
            _log.debug("undoing a create", namespace=bundle.namespace, container=bundle.id, error=str(error))
            if isinstance(error, ShimGone) or not prepared.choice.builtin:
                # Shims of the runc family forget a container that they failed to set up, and leave it to `delete`.
                await self.offload(lay_out, self.foreign, bundle, shim.binary)
            if isinstance(error, ShimGone):
                self.shims.drop_socket(shim.bootstrap)
        await self.shims.release(shim, bundle.id, sandboxed=prepared.sandboxed)

    async def start(self, namespace: str, id: str, exec_id: str = "") -> int:
        """Start the init process or an exec; return its pid. Raises NotFound, FailedPrecondition, Unknown."""
        return await asyncio.shield(self.spawn(self._start(self.table.get(namespace, id), exec_id)))

    async def _start(self, task: Task, exec_id: str) -> int:
        failpoint.hit("task.start")
        with self._span("task.start", container=task.id):
            request = task_pb2.StartRequest(id=task.id, exec_id=exec_id)
            answer = await task.shim.call("Start", request, task_pb2.StartResponse)
        if not exec_id:
            await self.watcher.started(task.namespace, task.id, answer.pid)
        return int(answer.pid)

    async def delete(self, namespace: str, id: str) -> Exit:
        """Delete a task that does not run, with shim and bundle; say how it ended. May be repeated after a failure.

        Raises NotFound, Unknown while it runs.
        """
        return await asyncio.shield(self.spawn(self._delete(self.table.get(namespace, id))))

    async def _delete(self, task: Task) -> Exit:
        async with task.lock:
            self._check_held(task)
            unknown: NotFound | None = None
            if task.deleted is None:
                try:
                    task.deleted = await self._delete_in_shim(task)
                except ShimGone:
                    raise
                except NotFound as error:  # the shim has lost it: so must the table
                    task.deleted, unknown = Exit(task.pid, UNKNOWN, now()), error
            failpoint.hit("task.delete.shim")
            await self.watcher.forgotten(task.namespace, task.id, task.deleted)
            # The shim needs nothing any more of what is removed below, so nobody waits until it has answered.
            self.spawn(self.shims.release(task.shim, task.id, sandboxed=task.sandboxed))
            failpoint.hit("task.delete.released")
            if doomed := await self.offload(self.preparer.retire, task.bundle, task.mounts):
                self.spawn(self.offload(self.preparer.discard_retired, doomed))
            self.publishing.retire(task)
            self.table.remove(task)
            task.finish(task.deleted)
            if unknown is not None:
                raise unknown
            return task.deleted

    async def _delete_in_shim(self, task: Task) -> Exit:
        with self._span("task.delete", container=task.id):
            request = task_pb2.DeleteRequest(id=task.id)
            return exit_of(await task.shim.call("Delete", request, task_pb2.DeleteResponse), "")

    def _check_held(self, task: Task) -> None:
        if not self.table.holds(task):
            self.table.get(task.namespace, task.id)  # raises NotFound, unless the id was used again
            raise ShimGone("task", task.id)

    # Deaths and events

    def relay(self, envelope: Envelope, forward: Callable[[Envelope], None]) -> None:
        """Pass a shim's event on through ``forward``, unless it tells of an exit that was published before."""
        self.publishing.relay(envelope, forward)

    def _shim_died(self, shim: Shim) -> None:
        for container in sorted(shim.holds):
            task = self.table.find(shim.namespace, container)
            if task is not None and task.shim is shim:
                _log.warning("shim died", namespace=shim.namespace, container=container)
                self.spawn(self._bury(task))

    async def _bury(self, task: Task) -> None:
        """A shim died under a task: kill what is left, tell of it, forget the task."""
        async with task.lock:
            if not self.table.holds(task):
                return
            if task.deleted is None:
                remains = await self.offload(lay_out, self.foreign, task.bundle, task.shim.binary, task.pid)
            else:
                remains = Remains(task.deleted)
            self.publishing.exits(task, [*remains.execs.values(), remains.init])
            self.publishing.publish(task.namespace, "/tasks/delete", delete_event(task.id, remains.init))
            await self.offload(self.preparer.remove, task.bundle, task.mounts)
            self.shims.drop_socket(task.shim.bootstrap)
            self.publishing.retire(task)
            self.table.remove(task)
            task.finish(remains.init, remains.execs)

    def close(self) -> None:
        """Let go of every shim and of the template; containers run on."""
        for task in self.table:
            task.abandon()
        for work in self._background:
            work.cancel()
        self._moves.close()
        self.shims.disconnect_all()
