"""How supervised containers are and ended: a row each (table ``task_state``), which a trigger removes with the record.

Most writes are not durable: they survive the daemon's death, and after a power cut the host's containers are all gone
anyway. What somebody asked for (a start under a policy, a stop) is written durably.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycontainerd.core import health
from pycontainerd.core.restart import Attempts
from pycontainerd.core.supervision import RunState
from pycontainerd.stores.columns import from_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from sqlite3 import Connection

    from pycontainerd.stores.database import Database

_COLUMNS = (
    "namespace, id, status, pid, exit_code, oom_killed, stopped, error, started_at, finished_at, restarts, pause,"
    " restart_at, health"
)
_PUT = (
    f"INSERT OR REPLACE INTO task_state ({_COLUMNS}) SELECT {', '.join('?' * 14)}"
    " WHERE EXISTS (SELECT 1 FROM containers WHERE namespace = ? AND id = ?)"
)


class RunStates:
    """``core.supervision.RunStates`` on the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> Mapping[tuple[str, str], RunState]:
        """All rows of all namespaces, by namespace and container id."""
        query = f"SELECT {_COLUMNS} FROM task_state"
        rows = self._database.read(lambda connection: connection.execute(query).fetchall())
        return {(row[0], row[1]): _state(row) for row in rows}

    def put(self, namespace: str, id: str, state: RunState, *, durable: bool) -> None:
        """Write one row, unless its container is gone."""

        def change(connection: Connection) -> None:
            connection.execute(_PUT, (*_row(namespace, id, state), namespace, id))

        self._database.write(change, durable=durable, frees=True)  # it is written on the way to a removal too


def _row(namespace: str, id: str, state: RunState) -> tuple[Any, ...]:
    return (
        namespace,
        id,
        state.status,
        state.pid,
        state.exit_code,
        int(state.oom_killed),
        int(state.stopped),
        state.error,
        _micros(state.started_at),
        _micros(state.finished_at),
        state.attempts.count,
        round(state.attempts.pause * 1_000_000),
        _micros(state.restart_at),
        health.to_text(state.health),
    )


def _state(row: tuple[Any, ...]) -> RunState:
    return RunState(
        status=row[2],
        pid=row[3],
        exit_code=row[4],
        oom_killed=bool(row[5]),
        stopped=bool(row[6]),
        error=row[7],
        started_at=_time(row[8]),
        finished_at=_time(row[9]),
        attempts=Attempts(row[10], row[11] / 1_000_000),
        restart_at=_time(row[12]),
        health=health.from_text(row[13]),
    )


def _micros(value: datetime | None) -> int:
    return 0 if value is None else to_micros(value)


def _time(value: int) -> datetime | None:
    return from_micros(value) if value else None
