"""Telling subscribers how processes ended, each exit once, whoever comes first: the shim, its retries, or the daemon.

An exit is marked in its bundle after it was handed to subscribers. A crash in between repeats it to subscribers that
have themselves been cut off by that crash, which is better than never telling them.

A shim that could not reach the daemon repeats its event for a while, so it may come when the daemon has told of the
exit long since, and a client has deleted the task and started the container anew. Docker's daemon takes the end of any
init process for that of the present one, so such an event must not pass.

Subscribers need time to notice that there is a daemon again, the more the longer it was away. ``recall`` has for those
that come late what ended while there was none, as long as nobody has acted on it by deleting the task.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from pycontainerd.core.events import Envelope
from pycontainerd.core.values import AnyValue
from pycontainerd.runtime.bundle import mark_published
from pycontainerd.runtime.convert import now, time_of
from pycontainerd.runtime.exits import INIT, exit_event, process_name
from pycontainerd.wire import failpoint
from pycontainerd.wire.codec import DecodeError
from pycontainerd.wire.messages.events_task import TaskExit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycontainerd.core.events import EventMessage, Publish
    from pycontainerd.core.tasks import Exit
    from pycontainerd.runtime.table import Table, Task

EXIT_TOPIC = "/tasks/exit"
REMEMBERED = 1024
"""How many deleted tasks are known whose end was told."""


class Publishing:
    """The daemon's own task events, and the filter for those that come from shims. Safe from any thread."""

    def __init__(self, table: Table, publish: Publish) -> None:
        self.publish = publish
        self.on_exit: Callable[[Task], None] = lambda task: None
        """Told, on any thread, that a task's init process has ended."""
        self._table = table
        self._lock = threading.Lock()
        self._past: dict[tuple[str, str, int], None] = {}
        self._early: deque[tuple[Task | tuple[str, str], Envelope]] | None = deque(maxlen=REMEMBERED)
        self._since = now()

    def exits(self, task: Task, exits: Iterable[Exit]) -> int:
        """Publish those exits of a task that nobody was told of, in the order given; return how many."""
        count = 0
        with self._lock:
            for ended in exits:
                key = (process_name(ended.id), ended.pid)
                if key not in task.published:
                    event = exit_event(task.id, ended)
                    self.publish(task.namespace, EXIT_TOPIC, event)
                    self._mark(task, key)
                    if ended.at is None or ended.at < self._since:
                        self._keep(task, task.namespace, EXIT_TOPIC, event)
                    count += 1
        return count

    def former(self, namespace: str, container: str, topic: str, event: EventMessage) -> None:
        """Publish an event of a task that is no more."""
        self.publish(namespace, topic, event)
        self._keep((namespace, container), namespace, topic, event)

    def recall(self) -> list[Envelope]:
        """What was told of ends before the start, without the tasks that were deleted since; empty once settled."""
        return [envelope for subject, envelope in list(self._early or ()) if self._stands(subject)]

    def settle(self) -> None:
        """Whoever had missed something is back by now: there is nothing more to recall."""
        self._early = None

    def _keep(self, subject: Task | tuple[str, str], namespace: str, topic: str, event: EventMessage) -> None:
        if self._early is not None:
            self._early.append((subject, Envelope(now(), namespace, topic, AnyValue(event.TYPE, event.encode()))))

    def _stands(self, subject: Task | tuple[str, str]) -> bool:
        if isinstance(subject, tuple):
            return self._table.find(*subject) is None
        return self._table.holds(subject)

    def relay(self, envelope: Envelope, forward: Callable[[Envelope], None]) -> None:
        """Hand a shim's event to ``forward``, unless it is an exit that was published before."""
        if envelope.topic != EXIT_TOPIC:
            forward(envelope)
            return
        with self._lock:
            event = self._decoded(envelope)
            task, key = self._subject(envelope.namespace, event)
            if task is None and key[0] == INIT and (envelope.namespace, event.container_id, key[1]) in self._past:
                return
            if task is not None and key in task.published:
                return
            forward(envelope)
            if task is not None:
                failpoint.hit("task.exit.forwarded")
                self._mark(task, key)
                ended = time_of(event.exited_at) if event.exited_at is not None else None
                if self._early is not None and ended is not None and ended < self._since:
                    self._early.append((task, envelope))

    def retire(self, task: Task) -> None:
        """Remember that the end of a task was told, if it was; to be called before the table forgets the task."""
        with self._lock:
            for name, pid in task.published:
                if name == INIT:
                    self._past[*task.key, pid] = None
            while len(self._past) > REMEMBERED:
                del self._past[next(iter(self._past))]

    @staticmethod
    def _decoded(envelope: Envelope) -> TaskExit:
        """The exit an envelope tells of; one of nobody for what cannot be read."""
        try:
            return TaskExit.decode(envelope.event.value)
        except DecodeError:
            return TaskExit()

    def _subject(self, namespace: str, event: TaskExit) -> tuple[Task | None, tuple[str, int]]:
        """The task an exit belongs to, and the process; no task when its container has another by now."""
        name = process_name("" if event.id == event.container_id else event.id)
        task = self._table.find(namespace, event.container_id)
        if task is not None and name == INIT and task.pid not in (0, event.pid):
            task = None
        return task, (name, event.pid)

    def _mark(self, task: Task, key: tuple[str, int]) -> None:
        task.published.add(key)
        mark_published(task.bundle, *key)
        if key[0] == INIT:
            self.on_exit(task)
