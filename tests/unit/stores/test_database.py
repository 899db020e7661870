"""The database: group commit, isolation of requests, durability settings, damage."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.errors import DataLoss, FailedPrecondition, ResourceExhausted, Unavailable
from pycontainerd.stores.database import Database, split_script
from pycontainerd.stores.schema import STEPS
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from sqlite3 import Connection


@pytest.fixture(autouse=True)
def _disarm() -> Iterator[None]:
    yield
    failpoint.disarm("database.commit.before")


def put(connection: Connection, key: str, value: str = "v") -> None:
    connection.execute("INSERT INTO meta VALUES (?, ?)", (key, value))


def keys(database: Database) -> set[str]:
    return database.read(lambda connection: {row[0] for row in connection.execute("SELECT key FROM meta")})


def behind_a_slow_write(database: Database, *functions: object) -> list[BaseException | None]:
    """Queue the functions while the writer is busy, so that they share one transaction; return their errors."""
    entered, release = threading.Event(), threading.Event()

    def slow(_: Connection) -> None:
        entered.set()
        release.wait(10)

    errors: list[BaseException | None] = [None] * len(functions)

    def call(index: int, function: object) -> None:
        try:
            database.write(function)  # type: ignore[arg-type]
        except BaseException as error:
            errors[index] = error

    threads = [threading.Thread(target=database.write, args=(slow,))]
    threads[0].start()
    entered.wait(10)
    for index, function in enumerate(functions):
        threads.append(threading.Thread(target=call, args=(index, function)))
        threads[-1].start()
        while database._waiting <= index:
            time.sleep(0.001)
    release.set()
    for thread in threads:
        thread.join(10)
    return errors


def test_a_write_is_visible_to_reads_when_it_returns(database: Database) -> None:
    for number in range(20):
        database.write(lambda connection, key=str(number): put(connection, key))  # type: ignore[misc]
        assert str(number) in keys(database)


def test_a_failing_write_changes_nothing(database: Database) -> None:
    def fail(connection: Connection) -> None:
        put(connection, "half")
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        database.write(fail)
    assert keys(database) == set()


def test_one_bad_request_of_a_group_fails_alone(database: Database) -> None:
    def bad(connection: Connection) -> None:
        put(connection, "bad")
        put(connection, "bad")

    errors = behind_a_slow_write(database, lambda c: put(c, "a"), bad, lambda c: put(c, "b"))
    assert isinstance(errors[1], sqlite3.IntegrityError)
    assert errors[0] is errors[2] is None
    assert keys(database) == {"a", "b"}


def test_a_group_whose_commit_fails_is_repeated_one_by_one(database: Database) -> None:
    failpoint.arm("database.commit.before", "error:EIO@2")
    errors = behind_a_slow_write(database, lambda c: put(c, "a"), lambda c: put(c, "b"))
    assert errors == [None, None]
    assert keys(database) == {"a", "b"}


def test_callbacks_run_after_commit_in_order_and_before_the_answer(database: Database) -> None:
    heard: list[str] = []

    def change(connection: Connection, key: str) -> None:
        put(connection, key)
        database.after_commit(lambda: heard.append(f"{key}:{key in keys(database)}"))

    def fail(connection: Connection) -> None:
        change(connection, "never")
        raise ValueError

    behind_a_slow_write(database, lambda c: change(c, "a"), fail, lambda c: change(c, "b"))
    assert heard == ["a:True", "b:True"]
    database.write(lambda connection: change(connection, "c"))
    assert heard[-1] == "c:True"


def test_a_failing_callback_does_not_fail_the_write(database: Database) -> None:
    def change(connection: Connection) -> None:
        put(connection, "a")
        database.after_commit(lambda: 1 / 0)  # type: ignore[arg-type]

    database.write(change)
    assert keys(database) == {"a"}


def test_writes_and_reads_inside_a_write_share_its_transaction(database: Database) -> None:
    def outer(connection: Connection) -> None:
        put(connection, "outer")
        database.write(lambda inner: put(inner, "inner"))
        assert database.read(lambda inner: inner.execute("SELECT count(*) FROM meta").fetchone()) == (2,)
        raise RuntimeError("undo both")

    with pytest.raises(RuntimeError, match="undo both"):
        database.write(outer)
    assert keys(database) == set()


def test_a_callback_that_writes_is_refused_rather_than_left_hanging(database: Database) -> None:
    errors: list[BaseException] = []

    def callback() -> None:
        try:
            database.write(lambda connection: put(connection, "x"))
        except RuntimeError as error:
            errors.append(error)

    database.write(lambda _: database.after_commit(callback))
    assert len(errors) == 1
    with pytest.raises(RuntimeError, match="after_commit"):
        database.after_commit(callback)


def test_reads_do_not_wait_for_a_write(database: Database) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        put(connection, "slow")
        entered.set()
        release.wait(10)

    thread = threading.Thread(target=database.write, args=(slow,))
    thread.start()
    entered.wait(10)
    begun = time.monotonic()
    assert keys(database) == set()
    assert time.monotonic() - begun < 1
    release.set()
    thread.join()
    assert keys(database) == {"slow"}


def test_a_read_is_one_snapshot(database: Database) -> None:
    def twice(connection: Connection) -> tuple[int, int]:
        query = "SELECT count(*) FROM meta"
        before = connection.execute(query).fetchone()[0]
        thread = threading.Thread(target=database.write, args=(lambda inner: put(inner, "new"),))
        thread.start()
        thread.join()
        return before, connection.execute(query).fetchone()[0]

    assert database.read(twice) == (0, 0)
    assert keys(database) == {"new"}


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.read(lambda connection: put(connection, "x"))


def test_durability_is_chosen_for_the_group(database: Database) -> None:
    def setting(connection: Connection) -> int:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    assert database.write(setting) == 2
    assert database.write(setting, durable=False) == 1
    assert database.write(setting) == 2


def test_a_full_disk_is_said_and_survived(database: Database) -> None:
    def limit(pages: int) -> None:
        database.write(lambda connection: connection.execute(f"PRAGMA max_page_count={pages}").fetchone())

    count = database.write(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    limit(count + 2)
    errors = behind_a_slow_write(
        database, lambda c: put(c, "a"), lambda c: put(c, "big", "x" * 100_000), lambda c: put(c, "b")
    )
    assert isinstance(errors[1], ResourceExhausted)
    assert "no space left" in str(errors[1])
    assert errors[0] is errors[2] is None
    assert keys(database) == {"a", "b"}
    limit(count + 1000)
    database.write(lambda connection: put(connection, "big", "x" * 100_000))
    assert "big" in keys(database)


def test_closing_finishes_the_queue_and_refuses_more(tmp_path: Path) -> None:
    path = str(tmp_path / "meta.db")
    database = Database(path, STEPS)
    database.write(lambda connection: put(connection, "a"))
    database.close()
    database.close()
    with pytest.raises(Unavailable, match="shutting down"):
        database.write(lambda connection: put(connection, "b"))
    with pytest.raises(Unavailable):
        keys(database)
    assert not os.path.exists(path + "-wal")
    again = Database(path, STEPS)
    assert keys(again) == {"a"}
    again.close()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "meta.db")
    Database(path, [*STEPS, ("future-1", "CREATE TABLE future (x INTEGER)")]).close()
    with pytest.raises(FailedPrecondition, match="future-1"):
        Database(path, STEPS)


def test_new_steps_are_applied_once(tmp_path: Path) -> None:
    path = str(tmp_path / "meta.db")
    Database(path, STEPS).close()
    more = [*STEPS, ("more-1", "CREATE TABLE more (x INTEGER); INSERT INTO more VALUES (1);")]
    for _ in range(2):
        database = Database(path, more)
        assert database.read(lambda connection: connection.execute("SELECT * FROM more").fetchall()) == [(1,)]
        database.close()


def test_a_failing_step_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = str(tmp_path / "meta.db")
    Database(path, STEPS).close()
    with pytest.raises(sqlite3.OperationalError):
        Database(path, [*STEPS, ("bad-1", "CREATE TABLE fine (x INTEGER); CREATE NONSENSE")])
    database = Database(path, STEPS)
    names = database.read(lambda c: {row[0] for row in c.execute("SELECT name FROM sqlite_schema")})
    assert "fine" not in names
    database.close()


@pytest.mark.parametrize("damage", ["header", "page"])
def test_damage_is_reported_with_a_remedy_and_nothing_is_touched(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "meta.db"
    database = Database(str(path), STEPS)
    for number in range(200):
        database.write(lambda connection, key=str(number): put(connection, key, "x" * 500), durable=False)  # type: ignore[misc]
    database.close()
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[:100] = os.urandom(100)
    else:
        data[8192:] = os.urandom(len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(DataLoss, match="restore a copy"):
        Database(str(path), STEPS)
    assert path.read_bytes() == data


def test_scripts_are_split_at_statements() -> None:
    script = "CREATE TABLE a (x TEXT DEFAULT ';');\nCREATE TRIGGER t AFTER DELETE ON a BEGIN\nSELECT 1;\nEND;\nSELECT 1"
    assert len(split_script(script)) == 3
