"""The one SQLite file that holds all metadata: one writer at a time with group commit, any number of readers.

What it promises:

* ``write`` returns after COMMIT. A durable write is on the disk by then (WAL, ``synchronous=FULL``); a write that says
  ``durable=False`` survives the death of the process, not a power cut.
* A request that comes alone is committed by the thread that makes it. Those that arrive while the disk is busy share
  the next transaction, on a thread of the database. Each runs in a savepoint of its own, so one bad request fails
  alone.
* ``after_commit`` callbacks run in commit order, on the thread that commits, before the caller gets its answer. That
  is how events are published: never for a change that did not happen, never out of order.
* ``read`` sees every write that has returned, as one consistent snapshot, and never waits for a writer.

A function given to ``write`` may run twice (when its group failed and is repeated one by one) and must touch nothing
but the connection it gets. Inside it, ``write`` and ``read`` run on the same transaction, so stores may call one
another.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from pycontainerd.core.errors import DataLoss, FailedPrecondition, PycontainerdError, ResourceExhausted, Unavailable
from pycontainerd.stores.reserve import Reserve
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from sqlite3 import Connection

T = TypeVar("T")
_log = structlog.get_logger(__name__)

MAX_GROUP = 128
"""Most requests that share one transaction: bounds what is repeated when a group fails."""
LOG_LIMIT = 32 << 20
"""Bytes that the write-ahead log keeps on the disk after an unusually large transaction."""
BUSY_TIMEOUT = 5.0
"""Seconds to wait for a lock that only a foreign process (a backup, an inspection) can hold."""

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class _Request:
    """One call of ``write`` on its way through the writer thread."""

    __slots__ = ("callbacks", "done", "durable", "error", "frees", "function", "result")

    def __init__(self, function: Callable[[Connection], Any], durable: bool, frees: bool) -> None:
        self.function, self.durable, self.frees = function, durable, frees
        self.done = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Forget an attempt whose transaction was rolled back."""
        self.result: Any = None
        self.error: BaseException | None = None
        self.callbacks: list[Callable[[], None]] = []


class Database:
    """The metadata database at ``path``, brought up to the schema that ``steps`` describe.

    ``steps`` are (name, SQL script) pairs, applied once each, in order (see ``pycontainerd.stores.schema``). Opening
    raises DataLoss when the file is damaged (it is never replaced silently), FailedPrecondition when a newer version
    made it, ResourceExhausted when the disk is full.
    """

    def __init__(self, path: str, steps: Sequence[tuple[str, str]]) -> None:
        self.path = path
        self._synchronous = ""
        self._active: _Request | None = None
        self._idle: list[Connection] = []
        self._gate = threading.Lock()
        self._turn = threading.Lock()
        self._writer: threading.Thread | None = None
        self._waiting = 0
        self._closed = False
        self._observers: list[Callable[[int], None]] = []
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._reserve = Reserve(f"{path}-reserve")
        try:
            self._connection = self._open(steps)
        except ResourceExhausted:
            if not self._reserve.give_up():
                raise
            self._connection = self._open(steps)
        self._reserve.keep()
        self._thread = threading.Thread(target=self._work, name="database-writer", daemon=True)
        self._thread.start()

    # -- what stores call -------------------------------------------------------------------------------------------

    def write(self, function: Callable[[Connection], T], *, durable: bool = True, frees: bool = False) -> T:
        """Run ``function`` in a write transaction and return its result once that is committed.

        ``frees`` says that the write makes room, now or by a later collection: on a full disk it gets the reserve.

        Raises whatever ``function`` raises (its changes are undone), ResourceExhausted on a full disk, DataLoss on a
        damaged file, Unavailable after ``close`` or on an input/output error. Inside another write, ``durable`` is the
        outer one's business.
        """
        if threading.current_thread() is self._writer:
            if self._active is None:
                raise RuntimeError("an after-commit callback must not write: it would wait for itself")
            return function(self._connection)
        request = _Request(function, durable, frees)
        with self._gate:
            if self._closed:
                raise Unavailable("metadata database", self.path, "the daemon is shutting down")
            # Alone, it commits right here: the way to the writer thread and back costs as much as the transaction.
            alone = not self._waiting and self._turn.acquire(blocking=False)
            if not alone:
                self._waiting += 1
                self._queue.put(request)
        if alone:
            self._commit_alone(request)
        else:
            request.done.wait()
        if request.error is not None:
            try:
                raise request.error
            finally:
                del request  # the error's traceback leads here: without this each failed write leaves a cycle
        result: T = request.result
        return result

    def read(self, function: Callable[[Connection], T]) -> T:
        """Run ``function`` on a consistent snapshot; it must return plain data, no cursor."""
        if self._active is not None and threading.current_thread() is self._writer:
            return function(self._connection)
        connection = self._borrow()
        try:
            connection.execute("BEGIN")
            try:
                return function(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        finally:
            self._give_back(connection)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """From inside a write: call ``callback`` once the transaction is committed; it must not block."""
        if self._active is None or threading.current_thread() is not self._writer:
            raise RuntimeError("after_commit is for functions running inside Database.write")
        self._active.callbacks.append(callback)

    def observe(self, callback: Callable[[int], None]) -> None:
        """Call ``callback`` after every commit, where it was made, with the number of changes; it must not block."""
        self._observers.append(callback)

    def close(self) -> None:
        """Finish what is queued, fold the log into the file and close every connection."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        with self._turn:  # one that commits alone is let through
            self._release()

    def _release(self) -> None:
        while self._idle:
            self._idle.pop().close()
        self._connection.close()

    # -- connections ------------------------------------------------------------------------------------------------

    def _connect(self) -> Connection:
        return sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    def _borrow(self) -> Connection:
        if self._closed:
            raise Unavailable("metadata database", self.path, "the daemon is shutting down")
        try:
            return self._idle.pop()
        except IndexError:
            pass
        connection = self._connect()
        connection.execute("PRAGMA query_only=1")
        return connection

    def _give_back(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _open(self, steps: Sequence[tuple[str, str]]) -> Connection:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        connection = None
        try:
            # Specs hold secrets; the log and the index get the mode of the file.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = self._connect()
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA journal_size_limit={LOG_LIMIT}")
            connection.execute("PRAGMA synchronous=FULL")
            self._synchronous = "FULL"
            check_integrity(connection, self.path)
            migrate(connection, steps, self.path)
        except (sqlite3.Error, PycontainerdError) as error:
            if connection is not None:
                connection.close()
            raise translate(error, self.path) from error
        # SQLite syncs the log's directory entry when it makes the log; the file's own entry is on us.
        sync_directory(os.path.dirname(self.path))
        return connection

    # -- the writer thread ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        running = True
        while running:
            request = self._queue.get()
            with self._turn:  # what comes while another thread commits joins the group
                self._writer = self._thread
                group, running = self._group(request)
                if group:
                    self._commit(group)
                self._writer = None
            with self._gate:
                self._waiting -= len(group)

    def _group(self, request: _Request | None) -> tuple[list[_Request], bool]:
        """A request and those queued behind it; False when the end of the queue is among them."""
        group: list[_Request] = []
        while request is not None:
            group.append(request)
            if len(group) == MAX_GROUP:
                break
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                break
        return group, request is not None

    def _commit_alone(self, request: _Request) -> None:
        """Commit on the thread that asks; it has the turn."""
        self._writer = threading.current_thread()
        try:
            self._commit([request])
        finally:
            self._writer = None
            self._turn.release()

    def _commit(self, group: list[_Request]) -> None:
        if len(group) > 1:
            if self._attempt(group) is None:
                self._answer(group)
                return
            _log.warning("a group of writes failed and is repeated one by one", writes=len(group))
        for request in group:
            error = self._attempt([request])
            if request.frees and isinstance(error, ResourceExhausted):
                error = self._attempt_with_reserve(request)
            if error is not None:
                request.reset()
                request.error = error
            self._answer([request])

    def _attempt(self, group: list[_Request]) -> BaseException | None:
        """Run the group in one transaction; return None when that is committed, else why nothing of it happened."""
        connection = self._connection
        try:
            self._choose_synchronous("FULL" if any(request.durable for request in group) else "NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            for request in group:
                request.reset()
                self._run(request, savepoint=len(group) > 1)
            hit("database.commit.before")
            connection.execute("COMMIT")
            hit("database.commit.after")
        except Exception as error:  # noqa: BLE001 — whatever it is belongs to the callers, not to this thread
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return translate(error, self.path)
        return None

    def _attempt_with_reserve(self, request: _Request) -> BaseException | None:
        """Once more, with what was kept back and, where nobody reads an old state, with the log begun anew."""
        self._reserve.give_up()
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)")
        try:
            return self._attempt([request])
        finally:
            self._reserve.keep()

    def keep_reserve(self) -> None:
        """Fill up what is kept back for a full disk, after room was made."""
        self._reserve.keep()

    def _run(self, request: _Request, *, savepoint: bool) -> None:
        """Run one request; raise only when the whole transaction is lost, otherwise note its result or error."""
        connection = self._connection
        if savepoint:
            connection.execute("SAVEPOINT request")
        self._active = request
        try:
            request.result = request.function(connection)
        except BaseException as error:
            if not savepoint or not connection.in_transaction:
                raise _Lost(error) from error
            connection.execute("ROLLBACK TO request")
            request.callbacks.clear()
            request.error = translate(error, self.path)
        finally:
            self._active = None
        if savepoint:
            connection.execute("RELEASE request")

    def _choose_synchronous(self, mode: str) -> None:
        """Not allowed inside a transaction, hence decided for the group as a whole."""
        if self._synchronous != mode:
            self._connection.execute(f"PRAGMA synchronous={mode}")
            self._synchronous = mode

    def _answer(self, group: list[_Request]) -> None:
        succeeded = sum(request.error is None for request in group)
        callbacks = [callback for request in group for callback in request.callbacks]
        callbacks += [partial(observer, succeeded) for observer in self._observers if succeeded]
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001 — the change is committed and must be answered
                _log.exception("an after-commit callback failed")
        for request in group:
            request.done.set()


class _Lost(Exception):
    """Carries the error of a request whose transaction SQLite has given up as a whole (a full disk does that)."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(str(cause))


def translate(error: BaseException, path: str) -> BaseException:
    """The error a caller should see for one from SQLite; others pass through."""
    if isinstance(error, _Lost):
        error = error.cause
    if not isinstance(error, sqlite3.Error):
        return error
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhausted("metadata database", path, "no space left on its disk: free some and retry")
    if code in _CORRUPT:
        return damaged(path, str(error))
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN}:
        return Unavailable("metadata database", path, f"{error}: check its disk and directory, then retry")
    return error


def damaged(path: str, finding: str) -> DataLoss:
    """The error for a damaged file; its remedy leaves the choice to the operator."""
    return DataLoss(
        "metadata database",
        path,
        f"it is damaged ({finding}); restore a copy, or move it with its -wal and -shm files and the io.containerd.*"
        " directories beside it out of the way to start empty",
    )


def check_integrity(connection: Connection, path: str) -> None:
    """Raise DataLoss when SQLite's quick check finds damage."""
    findings = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    if findings != ["ok"]:
        raise damaged(path, "; ".join(findings)[:300].replace("\n", " "))


def migrate(connection: Connection, steps: Sequence[tuple[str, str]], path: str) -> None:
    """Apply the steps that this file has not seen, all in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID")
        applied = {str(row[0]) for row in connection.execute("SELECT name FROM migrations")}
        unknown = sorted(applied - {name for name, _ in steps})
        if unknown:
            raise FailedPrecondition(
                "metadata database", path, f"a newer version wrote it (unknown steps: {', '.join(unknown)}); run that"
            )
        for name, script in steps:
            if name not in applied:
                for statement in split_script(script):
                    connection.execute(statement)
                connection.execute("INSERT INTO migrations (name) VALUES (?)", (name,))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def split_script(script: str) -> list[str]:
    """The statements of a script; sqlite3's executescript would commit the transaction it runs in."""
    statements: list[str] = []
    pending = ""
    for part in script.split(";"):
        pending += f"{part};"
        if part.strip() and sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    if pending.strip(" \n;"):
        statements.append(pending.strip())
    return statements


def sync_directory(path: str) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
