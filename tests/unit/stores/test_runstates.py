"""How containers ended, as rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pycontainerd.core.containers import Container
from pycontainerd.core.health import Health, Result
from pycontainerd.core.restart import Attempts
from pycontainerd.core.supervision import RESTARTING, RunState
from pycontainerd.core.values import AnyValue
from pycontainerd.stores.containers import Containers
from pycontainerd.stores.database import Database
from pycontainerd.stores.runstates import RunStates
from pycontainerd.stores.schema import STEPS

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"{tmp_path}/metadata.db", STEPS)
    yield made
    made.close()


def test_all_of_a_state_comes_back(database: Database) -> None:
    Containers(database).create("ns", Container("c", runtime="r"))
    rows = RunStates(database)
    state = RunState(
        RESTARTING, 12, 137, True, True, "why", NOW, NOW, Attempts(3, 0.8), NOW,
        Health("unhealthy", 3, (Result(NOW, NOW, 1, "no"),)),
    )  # fmt: skip
    rows.put("ns", "c", state, durable=True)
    assert rows.load() == {("ns", "c"): state}
    rows.put("ns", "c", RunState(), durable=False)
    assert rows.load() == {("ns", "c"): RunState()}


def test_a_row_goes_with_its_container_and_none_is_written_after(database: Database) -> None:
    containers, rows = Containers(database), RunStates(database)
    made = containers.create("ns", Container("c", runtime="r", spec=AnyValue("spec", b"{}")))
    rows.put("ns", "c", RunState(exit_code=3), durable=True)
    containers.update("ns", replace(made, image="i"), ("image",))
    assert rows.load()["ns", "c"].exit_code == 3
    containers.delete("ns", "c")
    rows.put("ns", "c", RunState(), durable=True)
    assert rows.load() == {}
