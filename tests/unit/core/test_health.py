"""Health checks: what is read from the settings, when the next is due, and what results make of a container."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import health
from pycontainerd.core.health import Health, HealthCheck, Result, check_of, judged, pause, shown

SECOND = 10**9
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def result(code: int, output: str = "") -> Result:
    return Result(NOW, NOW + timedelta(seconds=1), code, output)


def test_a_shell_check_runs_in_the_container_s_shell() -> None:
    config = {"Healthcheck": {"Test": ["CMD-SHELL", "curl -f localhost"]}}
    assert check_of(config) == HealthCheck(("/bin/sh", "-c", "curl -f localhost"))
    assert check_of({**config, "Shell": ["/bin/ash", "-ec"]}) == HealthCheck(("/bin/ash", "-ec", "curl -f localhost"))


def test_times_are_nanoseconds_and_zero_means_the_usual() -> None:
    given_check = {
        "Test": ["CMD", "/check", "-q"], "Interval": 2 * SECOND, "Timeout": SECOND // 2, "StartPeriod": 0,
        "StartInterval": SECOND, "Retries": 7,
    }  # fmt: skip
    check = check_of({"Healthcheck": given_check})
    assert check == HealthCheck(("/check", "-q"), 2.0, 0.5, 0.0, 1.0, 7)


@pytest.mark.parametrize(
    "given_check",
    [None, {}, {"Test": []}, {"Test": ["NONE"]}, {"Test": ["CMD"]}, {"Test": ["CMD-SHELL"]}, {"Test": ["HTTP", "/"]},
     {"Test": "CMD true"}, {"Test": ["CMD", 3]}, "CMD true", ["CMD", "true"]],
)  # fmt: skip
def test_none_and_nonsense_are_no_check(given_check: Any) -> None:
    assert check_of({"Healthcheck": given_check}) is None
    assert check_of({}) is None


def test_pauses_follow_the_start_period() -> None:
    check = HealthCheck(("x",), interval=30.0, start_period=60.0, start_interval=5.0)
    starting, healthy = Health(), Health(health.HEALTHY)
    assert pause(check, starting, 0.0) == 5.0
    assert pause(check, starting, 58.0) == 2.0  # the first check that counts comes at once
    assert pause(check, starting, 60.0) == 30.0
    assert pause(check, healthy, 10.0) == 30.0
    assert pause(check, healthy, 40.0) == 20.0
    assert pause(HealthCheck(("x",)), starting, 0.0) == 30.0


def test_failures_count_after_the_start_period_or_after_a_success() -> None:
    check = HealthCheck(("x",), start_period=60.0, retries=2)
    state = Health()
    for _ in range(5):
        state = judged(state, check, result(1), 10.0)
    assert (state.status, state.streak) == (health.STARTING, 0)
    state = judged(state, check, result(0), 20.0)
    assert (state.status, state.streak) == (health.HEALTHY, 0)
    state = judged(state, check, result(1), 30.0)
    assert (state.status, state.streak) == (health.HEALTHY, 1)
    state = judged(state, check, result(health.FAILED), 40.0)
    assert (state.status, state.streak) == (health.UNHEALTHY, 2)
    assert judged(state, check, result(0), 50.0).status == health.HEALTHY


@given(st.lists(st.tuples(st.integers(-1, 3), st.floats(0, 100)), max_size=30), st.integers(1, 5), st.floats(0, 50))
def test_the_state_machine_holds_its_promises(
    steps: list[tuple[int, float]], retries: int, start_period: float
) -> None:
    check, state, succeeded = HealthCheck(("x",), start_period=start_period, retries=retries), Health(), False
    for code, elapsed in steps:
        before, state = state, judged(state, check, result(code), elapsed)
        succeeded = succeeded or code == 0
        assert len(state.results) <= health.KEPT
        assert state.results[-1].exit_code == code
        if code == 0:
            assert (state.status, state.streak) == (health.HEALTHY, 0)
        else:
            assert state.streak in {before.streak, before.streak + 1}
        assert succeeded or state.status != health.HEALTHY
        assert state.status != health.UNHEALTHY or state.streak >= retries


@given(st.lists(st.tuples(st.integers(-1, 255), st.text(max_size=50)), max_size=5), st.integers(0, 9))
def test_what_is_stored_comes_back(entries: list[tuple[int, str]], streak: int) -> None:
    state = Health(health.UNHEALTHY, streak, tuple(result(code, output) for code, output in entries))
    assert health.from_text(health.to_text(state)) == state


def test_what_cannot_be_read_is_none() -> None:
    assert health.to_text(None) == ""
    assert health.from_text("") is None
    assert health.from_text("[1]") is None


def test_output_is_cut_and_decoded() -> None:
    assert shown(b"fine", more=False) == "fine"
    assert shown(b"x" * 5000, more=False) == "x" * 4096 + "..."
    assert shown(b"x", more=True) == "x..."
    assert shown(b"\xff", more=False) == "�"
