"""Exit records, the events made of them, and telling each exit once."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.bundle import bundle_of
from pycontainerd.core.events import Envelope
from pycontainerd.core.tasks import Exit
from pycontainerd.core.values import AnyValue
from pycontainerd.runtime import bundle as bundles
from pycontainerd.runtime.convert import stamp_of
from pycontainerd.runtime.exits import delete_event, exit_event, parse_record, read_records
from pycontainerd.runtime.publishing import Publishing
from pycontainerd.runtime.table import Table, Task
from pycontainerd.wire.messages.events_task import TaskExit

if TYPE_CHECKING:
    from pycontainerd.core.events import EventMessage

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def test_records_of_init_and_execs(tmp_path: Path) -> None:
    bundle = bundle_of(str(tmp_path / "s"), str(tmp_path / "r"), "ns", "c1")
    assert read_records(bundle) == {}
    os.makedirs(bundle.exits)
    Path(f"{bundle.exits}/init").write_text('{"pid": 5, "status": 137, "seconds": 1767323045, "nanos": 678901234}')
    Path(f"{bundle.exits}/exec.e.1").write_text('{"pid": 6, "status": 0, "seconds": 1, "nanos": 0}')
    Path(f"{bundle.exits}/exec.bad").write_text('{"pid": 6')
    Path(f"{bundle.exits}/init.tmp").write_text("{}")
    records = read_records(bundle)
    assert records["init"] == Exit(5, 137, NOW, "")
    assert records["exec.e.1"].id == "e.1"
    assert set(records) == {"init", "exec.e.1"}


@given(st.binary(max_size=50))
def test_no_record_crashes_the_reader(data: bytes) -> None:
    parse_record(data, "")


@pytest.mark.parametrize("text", ['{"pid":1,"status":2,"seconds":1e400,"nanos":0}', "[]", "null", '{"pid":"x"}'])
def test_odd_records_are_none(text: str) -> None:
    assert parse_record(text.encode(), "") is None


def test_events_name_the_process() -> None:
    init = exit_event("c1", Exit(5, 1, NOW))
    assert (init.container_id, init.id, init.pid, init.exit_status) == ("c1", "c1", 5, 1)
    assert init.exited_at is not None
    assert (init.exited_at.seconds, init.exited_at.nanos) == (1767323045, 678901000)
    assert exit_event("c1", Exit(6, 0, NOW, "e1")).id == "e1"
    unset = delete_event("c1", Exit(5, 0, None)).exited_at
    assert unset is not None
    assert unset.seconds == -62135596800


class _Heard:
    """What subscribers got."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str, Any]] = []
        self.forwarded: list[Envelope] = []

    def publish(self, namespace: str, topic: str, message: EventMessage) -> None:
        self.published.append((namespace, topic, message))


def _envelope(exec_id: str, pid: int, topic: str = "/tasks/exit", ended: datetime | None = None) -> Envelope:
    event = TaskExit(container_id="c1", id=exec_id or "c1", pid=pid, exited_at=stamp_of(ended))
    return Envelope(NOW, "ns", topic, AnyValue(TaskExit.TYPE, event.encode()))


@pytest.mark.asyncio
async def test_early_ends_are_recalled_until_somebody_acts_on_them(tmp_path: Path) -> None:
    bundle = bundle_of(str(tmp_path / "s"), str(tmp_path / "r"), "ns", "c1")
    bundles.create(bundle, b"{}")
    table, heard = Table(), _Heard()
    shim: Any = SimpleNamespace(alive=True)
    task = Task(bundle, shim, 5)
    table.add(task)
    publishing = Publishing(table, heard.publish)

    def recalled() -> list[tuple[str, str, int]]:
        found = [(item.topic, TaskExit.decode(item.event.value)) for item in publishing.recall()]
        return [(topic, event.container_id, event.pid) for topic, event in found]

    publishing.relay(_envelope("e1", 6, ended=NOW), heard.forwarded.append)
    publishing.relay(_envelope("e1", 6, "/tasks/exec-started", ended=NOW), heard.forwarded.append)
    publishing.exits(task, [Exit(5, 137, NOW)])
    tomorrow = datetime.now(UTC) + timedelta(days=1)  # of what ends from now on everybody can hear by himself
    publishing.relay(_envelope("e2", 7, ended=tomorrow), heard.forwarded.append)
    publishing.exits(task, [Exit(8, 0, tomorrow, "e3")])
    publishing.former("ns", "gone", "/tasks/exit", exit_event("gone", Exit(9, 137, NOW)))
    assert recalled() == [("/tasks/exit", "c1", 6), ("/tasks/exit", "c1", 5), ("/tasks/exit", "gone", 9)]
    publishing.retire(task)
    table.remove(task)
    assert recalled() == [("/tasks/exit", "gone", 9)]
    table.add(Task(bundle_of(str(tmp_path / "s"), str(tmp_path / "r"), "ns", "gone"), shim, 10))
    assert recalled() == []
    publishing.former("ns", "other", "/tasks/exit", exit_event("other", Exit(9, 137, NOW)))
    publishing.settle()
    publishing.former("ns", "third", "/tasks/exit", exit_event("third", Exit(9, 137, NOW)))
    assert recalled() == []
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_the_end_of_a_former_task_is_not_told_again_nor_taken_for_that_of_the_next(tmp_path: Path) -> None:
    bundle = bundle_of(str(tmp_path / "s"), str(tmp_path / "r"), "ns", "c1")
    bundles.create(bundle, b"{}")
    table, heard = Table(), _Heard()
    ended: list[int] = []
    shim: Any = SimpleNamespace(alive=True)
    first, second = Task(bundle, shim, 5), Task(bundle, shim, 8)
    publishing = Publishing(table, heard.publish)
    publishing.on_exit = lambda task: ended.append(task.pid)
    table.add(first)
    publishing.exits(first, [Exit(5, 137, NOW)])
    publishing.retire(first)
    table.remove(first)
    publishing.relay(_envelope("", 5), heard.forwarded.append)  # the shim's retry, after the task was deleted
    table.add(second)
    publishing.relay(_envelope("", 5), heard.forwarded.append)  # and after the container was started anew
    assert heard.forwarded == []
    publishing.relay(_envelope("", 4), heard.forwarded.append)  # one that nobody has heard of passes
    assert (ended, second.published, len(heard.forwarded)) == ([5], set(), 1)
    publishing.relay(_envelope("", 8), heard.forwarded.append)
    assert (ended, second.published, len(heard.forwarded)) == ([5, 8], {("init", 8)}, 2)


@pytest.mark.asyncio
async def test_an_exit_is_told_once_whoever_comes_first(tmp_path: Path) -> None:
    bundle = bundle_of(str(tmp_path / "s"), str(tmp_path / "r"), "ns", "c1")
    bundles.create(bundle, b"{}")
    table, heard = Table(), _Heard()
    shim: Any = SimpleNamespace(alive=True)
    task = Task(bundle, shim, 5)
    table.add(task)
    publishing = Publishing(table, heard.publish)
    publishing.relay(_envelope("e1", 6), heard.forwarded.append)
    publishing.relay(_envelope("e1", 6), heard.forwarded.append)  # the shim's retry
    assert publishing.exits(task, [Exit(6, 0, NOW, "e1"), Exit(5, 1, NOW)]) == 1
    publishing.relay(_envelope("", 5), heard.forwarded.append)
    assert [topic for _, topic, _ in heard.published] == ["/tasks/exit"]
    assert len(heard.forwarded) == 1
    assert bundles.read_published(bundle) == {("exec.e1", 6), ("init", 5)}
    # Another process under the same id, other topics and unknown tasks pass.
    for envelope in (_envelope("e1", 7), _envelope("", 5, "/tasks/start"), _envelope("", 5, "/tasks/start")):
        publishing.relay(envelope, heard.forwarded.append)
    table.remove(task)
    publishing.relay(_envelope("", 5), heard.forwarded.append)
    publishing.relay(Envelope(NOW, "ns", "/tasks/exit", AnyValue("x", b"\xff")), heard.forwarded.append)
    assert len(heard.forwarded) == 6
    await asyncio.sleep(0)
