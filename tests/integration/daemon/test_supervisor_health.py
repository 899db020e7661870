"""Health checks of running containers."""

from __future__ import annotations

import time

import pytest

from pycontainerd.core.errors import FailedPrecondition
from tests.support.supervision import Place, check, health_of, running

pytestmark = pytest.mark.root


def test_a_check_that_succeeds_makes_it_healthy(place: Place) -> None:
    box = place.run(*check("echo fine; echo more >&2"), "busybox", "sleep", "1000")
    health_of(place, box, "healthy")
    health = place.calls.health(box, run=True)
    assert health.status == "healthy"
    assert health.results[-1].exit_code == 0
    assert sorted(health.results[-1].output.split()) == ["fine", "more"]
    time.sleep(1.6)
    assert len(place.calls.health(box).results) == 5
    topics = [envelope.topic for envelope in place.calls.history(filters=('topic=="/supervisor/health"',))]
    assert topics


def test_a_check_that_fails_makes_it_unhealthy_after_its_retries(place: Place) -> None:
    box = place.run(*check("exit 3", "--health-retries", "2"), "busybox", "sleep", "1000")
    status = health_of(place, box, "unhealthy")
    assert status.health.failing_streak >= 2
    assert place.calls.health(box).results[-1].exit_code == 3
    assert status.status == "running"


def test_a_check_that_hangs_is_killed(place: Place) -> None:
    box = place.run(
        *check("sleep 500", "--health-timeout", "300ms", "--health-retries", "1"), "busybox", "sleep", "1000"
    )
    health_of(place, box, "unhealthy")
    result = place.calls.health(box).results[-1]
    assert (result.exit_code, result.output) == (-1, "Health check exceeded timeout (300ms)")
    place.calls.edit(box, lambda it: it["Config"].update(Healthcheck={"Test": ["NONE"]}))
    deadline = time.monotonic() + 5
    while "sleep 500" in place.pyctr.ok("top", box, "-eo", "pid,args"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_talkative_check_is_read_to_its_end_and_kept_in_part(place: Place) -> None:
    box = place.run(*check("yes | head -c 300000", interval="1h"), "busybox", "sleep", "1000")
    place.calls.until(box, running)
    result = place.calls.health(box, run=True).results[-1]
    assert result.exit_code == 0
    assert result.output == "y\n" * 2048 + "..."


def test_a_check_that_cannot_be_run_says_why(place: Place) -> None:
    box = place.run("--health-interval", "1h", *check("true")[:2], "busybox", "sleep", "1000")
    place.calls.edit(box, lambda it: it["Config"].update(Healthcheck={"Test": ["CMD", "/no/such"]}))
    place.calls.until(box, running)
    result = place.calls.health(box, run=True).results[-1]
    assert result.exit_code in {-1, 126, 127}
    assert "/no/such" in result.output


def test_unhealthy_can_mean_a_restart(place: Place) -> None:
    box = place.run(
        *check("test ! -e /sick", "--health-retries", "1"), "--restart-on-unhealthy", "--stop-timeout", "0",
        "busybox", "sh", "-c", "rm -f /sick; exec sleep 1000",
    )  # fmt: skip
    first = health_of(place, box, "healthy")
    place.pyctr.ok("exec", box, "touch", "/sick")
    second = place.calls.until(box, lambda it: running(it) and it.pid != first.pid)
    assert second.restart_count == 1
    assert health_of(place, box, "healthy").pid == second.pid


def test_no_check_runs_while_it_is_paused(place: Place) -> None:
    box = place.run(*check("date +%s%N"), "busybox", "sleep", "1000")
    health_of(place, box, "healthy")
    place.pyctr.ok("pause", box)
    place.calls.until(box, lambda it: it.status == "paused")
    time.sleep(0.3)
    before = place.calls.health(box).results[-1].output
    time.sleep(0.8)
    assert place.calls.health(box).results[-1].output == before
    with pytest.raises(FailedPrecondition, match="not running"):
        place.calls.health(box, run=True)
    place.pyctr.ok("unpause", box)
    place.calls.until(box, lambda it: place.calls.health(box).results[-1].output != before)
