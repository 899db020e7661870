"""The event journal: what is kept, for how long, and what damage costs."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pycontainerd.core.errors import PycontainerdError, Unknown
from pycontainerd.core.events import Envelope
from pycontainerd.core.health import EXEC_PREFIX
from pycontainerd.core.values import AnyValue
from pycontainerd.stores.journal import Journal
from pycontainerd.wire import failpoint
from pycontainerd.wire.messages.events_task import TaskExit

START = datetime(2026, 5, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


def event(number: int, at: datetime = START, topic: str = "/tasks/exit", id: str = "") -> Envelope:
    payload = TaskExit(container_id="c", id=id or f"e{number}", pid=number).encode()
    return Envelope(at, "ns", topic, AnyValue(TaskExit.TYPE, payload))


def read(journal: Journal, since: datetime | None = None, filters: tuple[str, ...] = ()) -> list[Envelope]:
    reading, found = journal.read(since, filters), []
    while batch := reading.batch():
        found += batch
    reading.close()
    return found


def test_events_come_back_in_order_also_after_a_restart(tmp_path: Path) -> None:
    events = [event(number, START + timedelta(microseconds=number)) for number in range(1500)]
    first = Journal(f"{tmp_path}/j", clock=lambda: START)
    for each in events[:1000]:
        first.append(each)
    assert read(first) == events[:1000]
    second = Journal(f"{tmp_path}/j", clock=lambda: START)  # without a close: the first was killed
    for each in events[1000:]:
        second.append(each)
    assert read(second) == events
    second.close()


def test_since_and_filters_choose(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), clock=Clock())
    for number in range(10):
        topic = "/tasks/oom" if number % 2 else "/tasks/exit"
        journal.append(event(number, START + timedelta(seconds=number), topic))
    found = read(journal, START + timedelta(seconds=5), ('topic=="/tasks/exit"',))
    assert [each.timestamp.second for each in found] == [6, 8]
    assert len(read(journal, None, ("event.id==e3",))) == 1
    with pytest.raises(Unknown):
        journal.read(None, ("topic==/",))


def test_old_events_go_by_segments(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(str(tmp_path), kept=100.0, segment=200, clock=clock)
    for number in range(60):
        clock.at = START + timedelta(seconds=number * 5)
        journal.append(event(number, clock.at))
    found = read(journal)
    assert found[-1].timestamp == clock.at
    assert found[0].timestamp >= clock.at - timedelta(seconds=130)
    assert len(os.listdir(tmp_path)) < 30


def test_the_size_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), limit=20_000, segment=1_000, clock=Clock())
    for number in range(2000):
        journal.append(event(number))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 21_000
    assert read(journal)[-1] == event(1999)


@pytest.mark.parametrize("damage", ["cut", "flip", "garbage"])
def test_damage_costs_the_rest_of_a_segment_only(tmp_path: Path, damage: str) -> None:
    first = Journal(str(tmp_path), clock=Clock())
    for number in range(10, 20):
        first.append(event(number))
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    record = len(data) // 10
    damaged = {
        "cut": data[: record * 5 + 3],
        "flip": data[: record * 5 + 20] + bytes([data[record * 5 + 20] ^ 1]) + data[record * 5 + 21 :],
        "garbage": data[: record * 5] + b"\xff" * 40,
    }[damage]
    path.write_bytes(damaged)
    second = Journal(str(tmp_path), clock=Clock())
    second.append(event(99))
    assert read(second) == [*(event(number) for number in range(10, 15)), event(99)]


def test_followers_get_what_is_new_without_a_gap(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), clock=Clock())
    stop = threading.Event()

    def publish() -> None:
        number = 0
        while not stop.is_set():
            journal.append(event(number))
            number += 1

    publisher = threading.Thread(target=publish)
    publisher.start()
    live: list[Envelope] = []
    reading = journal.read(None, (), live.append)
    kept: list[Envelope] = []
    while batch := reading.batch():
        kept += batch
    while len(live) < 10:
        pass
    reading.close()
    stop.set()
    publisher.join()
    assert [*kept, *live] == [event(number) for number in range(len(kept) + len(live))]
    count = len(live)
    journal.append(event(0))
    assert len(live) == count


def test_execs_of_health_checks_are_not_kept(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), clock=Clock())
    journal.append(event(1, id=f"{EXEC_PREFIX}abc"))
    journal.append(event(2, topic="/tasks/exec-started", id=f"{EXEC_PREFIX}abc"))
    journal.append(event(3))
    assert read(journal) == [event(3)]


def test_a_full_disk_costs_the_events_alone(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), clock=Clock())
    journal.append(event(1))
    failpoint.arm("journal.write", "error:ENOSPC")
    try:
        journal.append(event(2))
        journal.append(event(3))
    finally:
        failpoint.disarm("journal.write")
    journal.append(event(4))
    assert read(journal) == [event(1), event(4)]


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PycontainerdError, match="event journal"):
        Journal(f"{tmp_path}/file/j")
