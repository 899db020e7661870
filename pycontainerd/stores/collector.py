"""Garbage collection over the stores: one graph, one transaction, files afterwards.

A run first looks at a read snapshot, beside the writers; only when that shows garbage is the graph built again inside a
write transaction, which decides. So a run that finds nothing disturbs nobody, and nothing that gained a reference
meanwhile is removed. Rows go durably before files do.

When it runs: shortly after start; after something was deleted or many changes were made, some time apart; when a lease,
image or ingest expires, with nothing else happening at all; and when asked. What was deleted and what may expire is
learned from temporary triggers on the writer's connection, so that no store can forget to say it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from pycontainerd.core.errors import Unavailable
from pycontainerd.core.gc import EXPIRE, Graph, Kind, Node, Plan, Step, parse_time
from pycontainerd.core.spans import no_span
from pycontainerd.stores.columns import from_text, now
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from sqlite3 import Connection

    from pycontainerd.core.gc import Item
    from pycontainerd.core.spans import Span
    from pycontainerd.stores.database import Database

_log = structlog.get_logger(__name__)
LONGEST_SLEEP = 3600.0
"""Seconds after which the wall clock is looked at again, whatever the timers say: it may have been set."""

_RELEASING = ("images", "containers", "leases", "lease_resources", "snapshots", "content", "sandboxes")
"""Tables whose deleted rows may have kept something."""
_EXPIRING = ("images", "leases", "snapshots", "content")
"""Tables whose rows may carry an expiry label."""


class Store(Protocol):
    """One noun's part in a collection.

    The first two run inside transactions of the collector (``items`` possibly in a read-only one) and touch the
    connection only: events and notes on files to remove are registered with ``Database.after_commit``.
    """

    def items(self, connection: Connection) -> Iterable[Item]:
        """Every object of this store in all namespaces, with its labels and built-in references."""

    def remove_collected(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Delete the rows of those nodes that are of this store's kind; order among them is its own business."""

    def sweep(self) -> None:
        """After a collection that removed something, on the collector's thread: delete files without rows."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When collections run; times in seconds.

    ``startup`` after start, then at least ``interval`` apart and so far that they take no more than ``share`` of the
    time; ``mutations`` changes without a deletion also make one due.
    """

    startup: float = 0.1
    interval: float = 1.0
    share: float = 0.02
    mutations: int = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did, and how long it took in seconds."""

    removed: Sequence[Node]
    seconds: float


class Collector:
    """Runs collections on a thread of its own between ``start`` and ``close``; ``collect`` works without it too."""

    def __init__(
        self, database: Database, stores: Sequence[Store], schedule: Schedule | None = None, *, span: Span = no_span
    ) -> None:
        self._database, self._stores, self._schedule = database, stores, schedule or Schedule()
        self._span = span
        self._running = threading.Lock()
        self._wake = threading.Condition()
        self._closed = False
        self._released = False
        self._mutations = 0
        self._next_expiry: datetime | None = None
        # What triggers noted in the transaction under way; only the writer's thread touches these.
        self._uncommitted_release = False
        self._uncommitted_expiries: list[datetime] = []
        self._not_before = 0.0
        self._thread: threading.Thread | None = None
        self._watch()

    def start(self) -> None:
        """Begin to collect by the schedule."""
        self._not_before = time.monotonic() + self._schedule.startup
        self._released = True  # a crash may have left garbage
        self._thread = threading.Thread(target=self._work, name="collector", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the run under way, if any."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()

    def collect(self) -> Outcome:
        """Run a collection now and return what it removed; one under way does not count, it may have looked too early.

        Raises Unavailable after ``close``.
        """
        if self._closed:
            raise Unavailable("garbage collection", "", "the daemon is shutting down")
        return self._run()

    def plan(self) -> Plan:
        """What a collection would remove right now, without doing it."""
        return self._database.read(lambda connection: self._graph(connection).plan())

    def explain(self, namespace: str, key: str, kind: Kind = Kind.CONTENT) -> Sequence[Step]:
        """The path that keeps an object, root first; empty when nothing does or there is none.

        ``key`` is a digest, name or id; for a snapshot ``<snapshotter>/<key>``.
        """
        return self._database.read(lambda connection: self._graph(connection).explain(Node(kind, namespace, key)))

    # -- a run ------------------------------------------------------------------------------------------------------

    def _graph(self, connection: Connection) -> Graph:
        return Graph((item for store in self._stores for item in store.items(connection)), now())

    def _run(self) -> Outcome:
        with self._running, self._span("gc"):
            begun = time.monotonic()
            with self._wake:
                # Before looking: what changes from here on makes the next run due.
                self._released, self._mutations, self._next_expiry = False, 0, None
            plan = self.plan()
            hit("gc.marked")
            if plan.garbage:
                plan = self._database.write(self._remove, frees=True)
                hit("gc.removed")
                for store in self._stores:
                    store.sweep()
                self._database.keep_reserve()
                _log.info("garbage collected", removed=len(plan.garbage), seconds=round(time.monotonic() - begun, 4))
            self._expect(plan.next_expiry)
            seconds = time.monotonic() - begun
            pause = max(self._schedule.interval, seconds / self._schedule.share)
            self._not_before = time.monotonic() + pause
            return Outcome(plan.garbage, seconds)

    def _remove(self, connection: Connection) -> Plan:
        plan = self._graph(connection).plan()
        released = self._uncommitted_release
        for store in self._stores:
            store.remove_collected(connection, plan.garbage)
        self._uncommitted_release = released  # the rows that went just now are no reason for the next run
        return plan

    # -- the schedule -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Have the writer's connection tell what may have become garbage, and what will."""

        def install(connection: Connection) -> None:
            connection.create_function("collector_released", 0, self._note_release)
            connection.create_function("collector_labels", 1, self._note_labels)
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            for table in tables.intersection(_RELEASING):
                _trigger(connection, table, "DELETE", "SELECT collector_released()")
            for table in tables.intersection(_EXPIRING):
                for event in ("INSERT", "UPDATE OF labels"):
                    _trigger(connection, table, event, "SELECT collector_labels(new.labels)")

        self._database.write(install, durable=False)
        self._database.observe(self._note_commit)

    def _note_release(self) -> None:
        self._uncommitted_release = True

    def _note_labels(self, labels: str) -> None:
        if EXPIRE in labels and (expiry := parse_time(from_text(labels).get(EXPIRE, ""))):
            self._uncommitted_expiries.append(expiry)

    def _expect(self, expiry: datetime | None) -> None:
        if expiry is None:
            return
        with self._wake:
            if self._next_expiry is None or expiry < self._next_expiry:
                self._next_expiry = expiry
                self._wake.notify_all()

    def _note_commit(self, changes: int) -> None:
        for expiry in self._uncommitted_expiries:
            self._expect(expiry)
        self._uncommitted_expiries.clear()
        with self._wake:
            self._mutations += changes
            self._released = self._released or self._uncommitted_release
            self._uncommitted_release = False
            if self._released or self._mutations >= self._schedule.mutations:
                self._wake.notify_all()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._closed and (patience := self._patience()) > 0:
                    self._wake.wait(min(patience, LONGEST_SLEEP))
                if self._closed:
                    return
            try:
                self._run()
            except Exception:  # noqa: BLE001 — nothing was removed; the next run may do better
                _log.exception("garbage collection failed")
                with self._wake:
                    self._released = True  # what was due still is
                self._not_before = time.monotonic() + 10 * self._schedule.interval

    def _patience(self) -> float:
        """Seconds until a run is due."""
        pause = self._not_before - time.monotonic()
        if self._released or self._mutations >= self._schedule.mutations:
            return pause
        if self._next_expiry is None:
            return LONGEST_SLEEP
        # A little late rather than a little early: at the very moment the object still counts as alive.
        return max(pause, (self._next_expiry - now()).total_seconds() + 0.001)


def _trigger(connection: Connection, table: str, event: str, action: str) -> None:
    name = f"collector_{table}_{event.partition(' ')[0].lower()}"
    connection.execute(f"CREATE TEMP TRIGGER IF NOT EXISTS {name} AFTER {event} ON main.{table} BEGIN {action}; END")
