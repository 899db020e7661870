"""The loop: descriptors, timers, steps."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from shim.log import Log
from shim.loop import READ, Loop, Parked, drive

if TYPE_CHECKING:
    from shim.loop import Steps


@pytest.fixture
def loop() -> Loop:
    return Loop(Log("error"))


def test_descriptors_are_watched_until_they_are_not(loop: Loop) -> None:
    read, write = os.pipe()
    seen: list[bytes] = []
    loop.watch(read, READ, lambda _events: seen.append(os.read(read, 10)))
    os.write(write, b"one")
    loop.turn()
    loop.unwatch(read)
    loop.unwatch(read)
    os.write(write, b"two")
    loop.soon(lambda: None)
    loop.turn()
    os.close(read)
    os.close(write)
    assert seen == [b"one"]


def test_timers_fire_in_order_and_can_be_cancelled(loop: Loop) -> None:
    seen: list[str] = []
    loop.later(0.02, lambda: seen.append("late"))
    loop.later(0.01, lambda: seen.append("early"))
    loop.later(0.015, lambda: seen.append("never")).cancel()
    begun = time.monotonic()
    while len(seen) < 2:
        loop.turn()
    assert seen == ["early", "late"]
    assert time.monotonic() - begun >= 0.02


def test_a_callback_that_raises_is_logged_and_the_loop_goes_on(loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    def bad() -> None:
        raise KeyError("oops")

    loop.soon(bad)
    loop.turn()
    loop.soon(lambda: None)
    loop.turn()
    text = capfd.readouterr().err
    assert "unexpected KeyError" in text
    assert "test_loop.py" in text


def test_steps_wait_and_go_on() -> None:
    first, second = Parked(), Parked()
    ended: list[object] = []

    def inner() -> Steps[int]:
        return int((yield from first)) + 1

    def outer() -> Steps[int]:
        value = yield from inner()
        try:
            yield from second
        except ValueError:
            value *= 10
        return value

    drive(outer(), lambda value, error: ended.append((value, error)))
    assert not ended
    first.set(4)
    first.set(5)
    assert not ended
    second.fail(ValueError())
    assert ended == [(50, None)]


def test_a_result_that_is_there_is_not_waited_for() -> None:
    parked = Parked()
    parked.set("x")

    def steps() -> Steps[str]:
        return str((yield from parked)) + str((yield from parked))

    ended: list[object] = []
    drive(steps(), lambda value, error: ended.append((value, error)))
    assert ended == [("xx", None)]


def test_an_error_in_steps_is_handed_on() -> None:
    def steps() -> Steps[None]:
        yield from Parked()

    def broken() -> Steps[None]:
        raise RuntimeError("no")
        yield Parked()

    ended: list[object] = []
    drive(steps(), lambda value, error: ended.append(error))
    assert not ended
    drive(broken(), lambda value, error: ended.append(type(error)))
    assert ended == [RuntimeError]
