"""The supervisor against tasks made of thin air: what comes in which order, and what meets in the same moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from pycontainerd.core import supervision
from pycontainerd.core.containers import Container
from pycontainerd.core.errors import AlreadyExists, FailedPrecondition, NotFound, Unknown
from pycontainerd.core.events import Envelope
from pycontainerd.core.restart import Attempts
from pycontainerd.core.settings import EXTENSION, TYPE_URL
from pycontainerd.core.supervision import RunState
from pycontainerd.core.tasks import Exit, Process, Status
from pycontainerd.core.values import AnyValue
from pycontainerd.runtime.supervisor import Supervisor
from pycontainerd.runtime.supervisor_book import Book
from pycontainerd.runtime.supervisor_recovery import load, recover, resume
from pycontainerd.runtime.supervisor_requests import Requests
from pycontainerd.wire.messages.events_task import TaskExit, TaskOOM

NS = "ns"
LIMIT = 5.0


def container(policy: str = "no", *, id: str = "c", **host: Any) -> Container:
    name, _, maximum = policy.partition(":")
    restart = {"Name": name, "MaximumRetryCount": int(maximum or 0)}
    settings = {"Name": id, "Config": {}, "HostConfig": {"RestartPolicy": restart, **host}}
    value = AnyValue(TYPE_URL, json.dumps(settings).encode())
    return Container(id, runtime="r", spec=AnyValue("spec", b"{}"), extensions={EXTENSION: value})


async def eventually(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(LIMIT):
        while not holds():  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.005)


class Rows:
    """Rows in memory; ``order`` remembers each write and whether it was durable."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], RunState] = {}
        self.order: list[tuple[str, bool]] = []

    def load(self) -> dict[tuple[str, str], RunState]:
        return dict(self.rows)

    def put(self, namespace: str, id: str, state: RunState, *, durable: bool) -> None:
        self.rows[namespace, id] = state
        self.order.append((state.status, durable))


class World:
    """Records, tasks and the supervisor; ``fail`` makes the next starts raise."""

    def __init__(self) -> None:
        self.records: dict[str, Container] = {}
        self.rows = Rows()
        self.pids = iter(range(100, 10_000))
        self.processes: dict[str, Process] = {}
        self.ends: dict[str, asyncio.Future[Exit]] = {}
        self.started: list[str] = []
        self.removed: list[str] = []
        self.fail: list[Exception] = []
        self.during_start: Any = None
        self.quick_exit: int | None = None
        self.topics: list[str] = []
        self.signals: list[int] = []
        self.supervisor = self._make()
        self.requests = Requests(self.supervisor, self, self.offload)  # type: ignore[arg-type]

    def _make(self) -> Supervisor:
        book = Book(self.rows, self.offload)
        return Supervisor(book, self, self, self, lambda _, topic, __: self.topics.append(topic))  # type: ignore[arg-type]

    async def offload(self, function: Any, *arguments: Any) -> Any:
        await asyncio.sleep(0)
        return function(*arguments)

    def add(self, record: Container) -> None:
        self.records[record.id] = record
        self.supervisor._changed(NS, record)

    def state(self, id: str = "c") -> RunState:
        return self.supervisor.book.get(NS, id).state

    async def until(self, status: str, id: str = "c") -> RunState:
        await eventually(lambda: self.supervisor.book.get(NS, id).status == status)
        return self.state(id)

    # -- a client's start --

    async def client_starts(self, id: str = "c") -> int:
        pid = next(self.pids)
        self.ends[id] = asyncio.get_running_loop().create_future()
        self.supervisor.created(NS, id, pid)
        self.processes[id] = Process(id, pid=pid, status=Status.RUNNING)
        if self.quick_exit is not None:
            self.exits(self.quick_exit, id, pid)
        await self.supervisor.started(NS, id, pid)
        return pid

    def exits(self, status: int, id: str = "c", pid: int = 0) -> None:
        """The event of an exit."""
        pid = pid or self.processes[id].pid
        ended = Exit(pid, status, datetime.now(UTC))
        self.processes[id] = Process(id, pid=pid, status=Status.STOPPED, exit_status=status, exited_at=ended.at)
        self.supervisor.ended(NS, id, ended)
        if not self.ends[id].done():
            self.ends[id].set_result(ended)

    # -- Starter --

    async def start(self, namespace: str, id: str) -> int:
        self.started.append(id)
        await asyncio.sleep(0)
        if self.during_start is not None:
            await self.during_start()
        if self.fail:
            raise self.fail.pop(0)
        return await self.client_starts(id)

    async def clear(self, namespace: str, id: str) -> None:
        self.processes.pop(id, None)

    async def remove(self, namespace: str, id: str, *, volumes: bool) -> None:
        self.processes.pop(id, None)
        if self.fail:
            raise self.fail.pop(0)
        self.removed.append(id)
        self.records.pop(id, None)
        self.supervisor._deleted(namespace, id)

    @property
    def starter(self) -> World:
        return self

    # -- TaskManager --

    async def get(self, namespace: str, id: str, exec_id: str = "") -> Any:
        if id not in self.processes:
            raise NotFound("task", id)
        return self.processes[id]

    async def list(self, namespace: str) -> list[Process]:
        return list(self.processes.values())

    async def kill(self, namespace: str, id: str, exec_id: str, signal: int, *, all: bool) -> None:
        if id not in self.processes or self.processes[id].status == Status.STOPPED:
            raise NotFound("task", id)
        self.signals.append(signal)
        if signal == 9:
            asyncio.get_running_loop().call_soon(self.exits, 137, id)

    async def resume(self, namespace: str, id: str) -> None:
        return None

    async def wait(self, namespace: str, id: str, exec_id: str = "") -> Exit:
        return await asyncio.shield(self.ends[id])


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    resume(made.supervisor)
    yield made
    await made.supervisor.close()


@pytest.mark.asyncio
async def test_an_exit_that_overtakes_its_start_counts(world: World) -> None:
    world.add(container())
    world.quick_exit = 3
    await world.client_starts()
    assert (world.state().status, world.state().exit_code) == ("exited", 3)


@pytest.mark.asyncio
async def test_an_end_counts_once_whoever_tells_of_it(world: World) -> None:
    world.add(container("on-failure:5"))
    pid = await world.client_starts()
    for _ in range(3):
        world.exits(1, pid=pid)
    assert world.state().attempts.count == 1
    event = TaskExit(container_id="c", id="c", pid=pid, exit_status=1).encode()
    world.supervisor.event(Envelope(datetime.now(UTC), NS, "/tasks/exit", AnyValue("", event)))
    world.supervisor.event(Envelope(datetime.now(UTC), NS, "/tasks/exit", AnyValue("", b"\xff")))
    assert world.state().attempts.count == 1
    assert world.topics == ["/supervisor/restart"]


@pytest.mark.asyncio
async def test_a_late_word_of_the_last_run_does_not_end_this_one(world: World) -> None:
    world.add(container())
    first = await world.client_starts()
    world.exits(1)
    await world.client_starts()
    world.supervisor.ended(NS, "c", Exit(first, 1, datetime.now(UTC)))
    assert world.state().status == "running"


@pytest.mark.asyncio
async def test_a_client_s_start_forgets_attempts_and_the_stop(world: World) -> None:
    world.add(container("always"))
    await world.client_starts()
    world.exits(1)
    await world.until("running")
    assert world.state().attempts.count == 1
    await world.requests.mark_stopped(NS, "c")
    world.exits(1)
    assert (world.state().status, world.state().stopped) == ("exited", True)
    await world.client_starts()
    assert world.state().attempts == Attempts()
    assert not world.state().stopped


@pytest.mark.asyncio
async def test_what_a_client_is_told_is_on_the_disk(world: World) -> None:
    world.add(container("always"))
    await world.client_starts()
    assert world.rows.order[-1] == ("running", True)
    await world.requests.mark_stopped(NS, "c")
    assert world.rows.rows[NS, "c"].stopped
    assert world.rows.order[-1][1]
    world.exits(4)
    await world.supervisor.forgotten(NS, "c", Exit(0, 4, None))
    assert world.rows.rows[NS, "c"].exit_code == 4


@pytest.mark.asyncio
async def test_a_stop_that_meets_a_restart_wins(world: World) -> None:
    world.add(container("always"))
    await world.client_starts()

    async def stop() -> None:
        await world.requests.mark_stopped(NS, "c")

    world.during_start = stop
    world.exits(1)
    await eventually(lambda: world.started and not world.supervisor.book.get(NS, "c").lock.locked())
    await eventually(lambda: world.processes["c"].status != Status.RUNNING)
    assert world.state().stopped
    assert world.state().status == "exited"


@pytest.mark.asyncio
async def test_a_record_deleted_in_a_restart_leaves_no_task(world: World) -> None:
    world.add(container("always"))
    await world.client_starts()
    watched = world.supervisor.book.get(NS, "c")

    async def delete() -> None:
        world.supervisor._deleted(NS, "c")

    world.during_start = delete
    world.exits(1)
    await eventually(lambda: world.started and not watched.lock.locked())
    assert world.supervisor.book.find(NS, "c") is None


@pytest.mark.asyncio
async def test_a_start_that_fails_is_tried_again_and_says_why(world: World) -> None:
    world.add(container("always"))
    await world.client_starts()
    world.fail = [Unknown("no such file")]
    world.exits(1)
    await eventually(lambda: world.state().error)
    assert world.state().error == "no such file"
    assert world.state().exit_code == supervision.NOT_STARTED
    state = await world.until("running")
    assert (state.attempts.count, state.error) == (2, "")


@pytest.mark.asyncio
async def test_a_client_that_is_quicker_is_let_be(world: World) -> None:
    world.add(container("always"))
    await world.client_starts()
    world.fail = [AlreadyExists("task", "c")]
    world.exits(1)
    await world.until("exited")
    await asyncio.sleep(0.3)
    assert world.started == ["c"]


@pytest.mark.asyncio
async def test_removal_is_tried_again_and_whoever_waits_hears_of_it(world: World) -> None:
    world.add(container(AutoRemove=True))
    await world.client_starts()
    waiting = asyncio.create_task(world.requests.wait(NS, "c", "removed"))
    await asyncio.sleep(0)
    world.fail = [Unknown("busy")]
    world.exits(6)
    async with asyncio.timeout(LIMIT):
        assert (await waiting).exit_code == 6
    assert world.removed == ["c"]


@pytest.mark.asyncio
async def test_a_policy_that_changes_while_it_waits(world: World) -> None:
    world.add(container("always"))
    await world.client_starts()
    world.exits(1)
    world.add(container("no"))
    assert world.state().status == "exited"
    await asyncio.sleep(0.2)
    assert world.started == []


@pytest.mark.asyncio
async def test_out_of_memory_is_noted_before_and_after_the_exit(world: World) -> None:
    world.add(container())
    oom = Envelope(datetime.now(UTC), NS, "/tasks/oom", AnyValue("", TaskOOM(container_id="c").encode()))
    world.supervisor.event(oom)
    assert not world.state().oom_killed  # it never ran
    await world.client_starts()
    world.exits(137)
    world.supervisor.event(oom)
    assert (world.state().status, world.state().oom_killed) == ("exited", True)
    await world.client_starts()
    assert not world.state().oom_killed


@pytest.mark.asyncio
async def test_stop_asks_first_and_kills_after_its_patience(world: World) -> None:
    world.add(container())
    await world.client_starts()
    assert await world.requests.stop(NS, "c", 2, 0.05) == 137
    assert world.signals == [2, 9]
    assert await world.requests.stop(NS, "c") == 137
    await world.client_starts()
    assert await world.requests.stop(NS, "c", 0, 0.0) == 137
    assert world.signals == [2, 9, 9]


@pytest.mark.asyncio
async def test_what_runs_or_is_to_run_is_removed_by_force_only(world: World) -> None:
    world.add(container("always"))
    await world.client_starts()
    with pytest.raises(FailedPrecondition, match="running"):
        await world.requests.remove(NS, "c")
    world.exits(1)
    with pytest.raises(FailedPrecondition, match="restarting"):
        await world.requests.remove(NS, "c")
    await world.requests.remove(NS, "c", force=True)
    assert world.removed == ["c"]


# -- the start of a daemon --


async def begin(records: list[Container], rows: dict[str, RunState], world: World, missed: dict[str, Exit]) -> None:
    world.supervisor.open = world.supervisor.monitor.open = False
    world.records = {record.id: record for record in records}
    load(world.supervisor, {NS: records}, {(NS, key): row for key, row in rows.items()})
    await recover(world.supervisor, {(NS, key): end for key, end in missed.items()})


@pytest.mark.asyncio
async def test_nothing_is_started_before_it_is_time(world: World) -> None:
    now = datetime.now(UTC)
    running = RunState("running", 7, started_at=now)
    await begin([container("always")], {"c": running}, world, {"c": Exit(7, 3, now)})
    assert (world.state().status, world.state().exit_code) == ("restarting", 3)
    await asyncio.sleep(0.2)
    assert world.started == []
    resume(world.supervisor)
    await world.until("running")


@pytest.mark.asyncio
async def test_an_end_that_was_noted_is_not_noted_again(world: World) -> None:
    ended = datetime.now(UTC) - timedelta(minutes=1)
    row = RunState("exited", started_at=ended, finished_at=ended, exit_code=3)
    world.processes["c"] = Process("c", pid=7, status=Status.STOPPED, exit_status=3, exited_at=ended)
    await begin([container("on-failure")], {"c": row}, world, {})
    assert world.state() == row
    world.processes["c"] = Process("c", pid=8, status=Status.STOPPED, exit_status=4, exited_at=datetime.now(UTC))
    await recover(world.supervisor, {})
    assert (world.state().status, world.state().exit_code) == ("restarting", 4)


@pytest.mark.asyncio
async def test_a_run_that_left_no_trace_ended_with_the_host(world: World) -> None:
    row = RunState("running", 7, started_at=datetime.now(UTC))
    boxes = [container(id="plain"), container("on-failure:1", id="failing"), container(id="passing", AutoRemove=True)]
    await begin(boxes, dict.fromkeys(("plain", "failing", "passing"), row), world, {})
    assert world.supervisor.book.get(NS, "plain").status == "exited"
    resume(world.supervisor)
    assert world.state("plain").exit_code == supervision.NOBODY_KNOWS
    await world.until("running", "failing")
    assert world.removed == ["passing"]


@pytest.mark.asyncio
async def test_what_runs_is_adopted_whatever_the_row_says(world: World) -> None:
    world.processes["c"] = Process("c", pid=9, status=Status.PAUSED)
    await begin([container("always")], {}, world, {})
    assert (world.state().status, world.state().pid) == ("running", 9)
    assert world.supervisor.book.get(NS, "c").status == "paused"
