"""The table of tasks: what runs, and what is known of how it ended. Event loop only; no lock is held across tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.core.errors import AlreadyExists, NotFound, PycontainerdError
from pycontainerd.core.tasks import Exit
from pycontainerd.runtime.convert import now, time_of
from pycontainerd.runtime.exits import UNKNOWN, process_name
from pycontainerd.runtime.shims import ShimGone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycontainerd.core.bundle import Bundle
    from pycontainerd.runtime.logfifo import LogFifo
    from pycontainerd.runtime.shims import Shim


class Task:
    """A task in the table. ``published`` holds (process name, pid) of the exits subscribers were told of.

    ``deleted`` is set once the shim has forgotten the task, so that an interrupted delete can be taken up again.
    """

    def __init__(self, bundle: Bundle, shim: Shim, pid: int) -> None:
        self.bundle, self.shim, self.pid = bundle, shim, pid
        self.published: set[tuple[str, int]] = set()
        self.sandboxed = False
        self.mounts = ""
        self.log: LogFifo | None = None
        self.deleted: Exit | None = None
        self.lock = asyncio.Lock()
        self._exits: dict[str, asyncio.Future[Exit]] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._gone: asyncio.Future[tuple[Exit, Mapping[str, Exit]]] = asyncio.get_running_loop().create_future()

    @property
    def id(self) -> str:
        return self.bundle.id

    @property
    def namespace(self) -> str:
        return self.bundle.namespace

    @property
    def key(self) -> tuple[str, str]:
        return self.bundle.namespace, self.bundle.id

    async def wait(self, exec_id: str) -> Exit:
        """How a process ended, as soon as it has; any number of waiters share one Wait of the shim.

        Raises NotFound for an exec the shim does not know.
        """
        future = self._exits.get(exec_id)
        if future is None:
            loop = asyncio.get_running_loop()
            self._exits[exec_id] = future = loop.create_future()
            watcher = loop.create_task(self._watch(exec_id, future))
            self._watchers.add(watcher)
            watcher.add_done_callback(self._watchers.discard)
        return await asyncio.shield(future)

    async def _watch(self, exec_id: str, future: asyncio.Future[Exit]) -> None:
        try:
            request = task_pb2.WaitRequest(id=self.id, exec_id=exec_id)
            answer = await self.shim.call("Wait", request, task_pb2.WaitResponse)
        except ShimGone:
            await self._gone  # whoever cleans up after the shim settles this future too
        except PycontainerdError as error:
            self._exits.pop(exec_id, None)
            if not future.done():
                future.set_exception(error)
                future.exception()  # its waiters may all have left
        else:
            pid = 0 if exec_id else self.pid
            self._settle(future, Exit(pid, answer.exit_status, time_of(answer.exited_at), exec_id))

    @staticmethod
    def _settle(future: asyncio.Future[Exit], exit: Exit) -> None:
        if not future.done():
            future.set_result(exit)

    def forget_exec(self, exec_id: str, exit: Exit) -> None:
        """An exec was deleted: its waiters are answered, and its id may be used again."""
        if (future := self._exits.pop(exec_id, None)) is not None:
            self._settle(future, exit)
        name = process_name(exec_id)
        self.published = {pair for pair in self.published if pair[0] != name}

    def finish(self, exit: Exit, execs: Mapping[str, Exit] | None = None) -> None:
        """The task is over: everybody who still waits is answered; ``execs`` by exec id where known."""
        for exec_id, future in self._exits.items():
            if not exec_id:
                self._settle(future, exit)
            else:
                self._settle(future, (execs or {}).get(exec_id) or Exit(0, UNKNOWN, exit.at or now(), exec_id))
        if not self._gone.done():
            self._gone.set_result((exit, execs or {}))
        if self.log is not None:
            self.log.close()
            self.log = None

    def abandon(self) -> None:
        """The daemon ends: stop watching, leave the task alone."""
        for watcher in self._watchers:
            watcher.cancel()
        if self.log is not None:
            self.log.close()
            self.log = None


class Table:
    """Tasks by namespace and container id; an id is reserved while its task is being made."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], Task] = {}
        self._reserved: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def reserve(self, namespace: str, id: str) -> None:
        """Claim an id for a task to come. Raises AlreadyExists."""
        if (namespace, id) in self._tasks or (namespace, id) in self._reserved:
            raise AlreadyExists("task", id)
        self._reserved.add((namespace, id))

    def release(self, namespace: str, id: str) -> None:
        """Give a claim up, whether a task came of it or not."""
        self._reserved.discard((namespace, id))

    def add(self, task: Task) -> None:
        self._tasks[task.key] = task

    def remove(self, task: Task) -> None:
        if self._tasks.get(task.key) is task:
            del self._tasks[task.key]

    def holds(self, task: Task) -> bool:
        """Whether this very task is still registered."""
        return self._tasks.get(task.key) is task

    def find(self, namespace: str, id: str) -> Task | None:
        return self._tasks.get((namespace, id))

    def get(self, namespace: str, id: str) -> Task:
        """The task of a container. Raises NotFound."""
        task = self._tasks.get((namespace, id))
        if task is None:
            raise NotFound("task", id)
        return task

    def of(self, namespace: str) -> list[Task]:
        """A namespace's tasks, by id."""
        return sorted((task for task in self._tasks.values() if task.namespace == namespace), key=lambda task: task.id)

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._tasks.values()))
