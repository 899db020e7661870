"""Telling subscribers how processes ended, each exit once, whoever comes first: the shim, its retries, or the daemon.

An exit is marked in its bundle after it was handed to subscribers. A crash in between repeats it to subscribers that
have themselves been cut off by that crash, which is better than never telling them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pycontainerd.runtime.bundle import mark_published
from pycontainerd.runtime.exits import INIT, exit_event, process_name
from pycontainerd.wire import failpoint
from pycontainerd.wire.codec import DecodeError
from pycontainerd.wire.messages.events_task import TaskExit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycontainerd.core.events import Envelope, Publish
    from pycontainerd.core.tasks import Exit
    from pycontainerd.runtime.table import Table, Task

EXIT_TOPIC = "/tasks/exit"


class Publishing:
    """The daemon's own task events, and the filter for those that come from shims. Safe from any thread."""

    def __init__(self, table: Table, publish: Publish) -> None:
        self.publish = publish
        self.on_exit: Callable[[Task], None] = lambda task: None
        """Told, on any thread, that a task's init process has ended."""
        self._table = table
        self._lock = threading.Lock()

    def exits(self, task: Task, exits: Iterable[Exit]) -> int:
        """Publish those exits of a task that nobody was told of, in the order given; return how many."""
        count = 0
        with self._lock:
            for ended in exits:
                key = (process_name(ended.id), ended.pid)
                if key not in task.published:
                    self.publish(task.namespace, EXIT_TOPIC, exit_event(task.id, ended))
                    self._mark(task, key)
                    count += 1
        return count

    def relay(self, envelope: Envelope, forward: Callable[[Envelope], None]) -> None:
        """Hand a shim's event to ``forward``, unless it is an exit that was published before."""
        if envelope.topic != EXIT_TOPIC:
            forward(envelope)
            return
        with self._lock:
            task, key = self._subject(envelope)
            if task is not None and key in task.published:
                return
            forward(envelope)
            if task is not None:
                failpoint.hit("task.exit.forwarded")
                self._mark(task, key)

    def _subject(self, envelope: Envelope) -> tuple[Task | None, tuple[str, int]]:
        try:
            event = TaskExit.decode(envelope.event.value)
        except DecodeError:
            return None, ("", 0)
        exec_id = "" if event.id == event.container_id else event.id
        return self._table.find(envelope.namespace, event.container_id), (process_name(exec_id), event.pid)

    def _mark(self, task: Task, key: tuple[str, int]) -> None:
        task.published.add(key)
        mark_published(task.bundle, *key)
        if key[0] == INIT:
            self.on_exit(task)
