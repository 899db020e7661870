"""The supervisor over the death of the daemon, at each step, and of the host."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from tests.support.supervision import Place, check, gone, health_of, running

pytestmark = pytest.mark.root


def test_a_daemon_that_was_away_makes_up_for_it(own: Place) -> None:
    kept = own.run("--restart", "always", "busybox", "sleep", "1000")
    brief = own.run("--restart", "always", "busybox", "sleep", "1000")
    ended = own.run("busybox", "sh", "-c", "sleep 0.5; exit 6")
    removed = own.run("--rm", "busybox", "sleep", "0.5")
    stopped = own.run("--restart", "unless-stopped", "busybox", "sleep", "1000")
    healthy = own.run(*check("true"), "busybox", "sleep", "1000")
    health_of(own, healthy, "healthy")
    own.calls.stop(stopped, 0.0)
    pids = {box: own.calls.until(box, running).pid for box in (kept, brief)}
    own.daemon.kill()
    os.kill(pids[brief], signal.SIGKILL)
    time.sleep(1.0)
    own.daemon.start()
    assert own.calls.status(kept).pid == pids[kept]  # type: ignore[union-attr]
    assert own.calls.until(brief, lambda it: running(it) and it.pid != pids[brief]).restart_count == 1
    assert own.calls.until(ended, lambda it: it.status == "exited").exit_code == 6
    own.calls.until(removed, gone)
    assert own.calls.status(stopped).status == "exited"  # type: ignore[union-attr]
    assert own.calls.status(healthy).health.status == "healthy"  # type: ignore[union-attr]
    before = own.calls.health(healthy).results[-1].start
    own.calls.until(healthy, lambda it: own.calls.health(healthy).results[-1].start != before)


def test_after_a_reboot_policies_say_who_comes_back(own: Place) -> None:
    always = own.run("--restart", "always", "busybox", "sleep", "1000")
    stopped_always = own.run("--restart", "always", "busybox", "sleep", "1000")
    unless = own.run("--restart", "unless-stopped", "busybox", "sleep", "1000")
    stopped_unless = own.run("--restart", "unless-stopped", "busybox", "sleep", "1000")
    failing = own.run("--restart", "on-failure:3", "busybox", "sleep", "1000")
    plain = own.run("busybox", "sleep", "1000")
    exited = own.run("busybox", "sh", "-c", "exit 8")
    removed = own.run("--rm", "busybox", "sleep", "1000")
    never = own.pyctr.ok("create", "--restart", "always", "busybox", "sleep", "1000")
    own.calls.stop(stopped_always, 0.0)
    own.calls.stop(stopped_unless, 0.0)
    own.calls.until(exited, lambda it: it.status == "exited")
    own.reboot()
    for box in (always, stopped_always, unless, failing):
        own.calls.until(box, running)
    own.calls.until(removed, gone)
    assert own.calls.status(stopped_unless).status == "exited"  # type: ignore[union-attr]
    lost = own.calls.status(plain)
    assert lost is not None
    assert (lost.status, lost.exit_code) == ("exited", 255)
    assert "went down" in lost.error
    assert own.calls.status(exited).exit_code == 8  # type: ignore[union-attr]
    assert own.calls.status(never).status == "created"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "point", ["supervisor.exit", "supervisor.exit.noted", "supervisor.restart", "supervisor.start.cleared",
              "supervisor.start.created", "supervisor.started"],
)  # fmt: skip
def test_a_restart_survives_the_daemon_at_each_step(own: Place, point: str) -> None:
    box = own.run("--restart", "always", "busybox", "sleep", "1000")
    first = own.calls.until(box, running)
    own.crash(f"{point}=crash")
    time.sleep(1.2)  # let it take up what there is
    with contextlib.suppress(ProcessLookupError):
        os.kill(first.pid, signal.SIGKILL)
    own.wait_for_death()
    own.daemon.process = None
    own.daemon.start()
    second = own.calls.until(box, lambda it: running(it) and it.pid != first.pid)
    assert 1 <= second.restart_count <= 2
    os.kill(second.pid, 0)
    listed = own.daemon.ctr("task", "ls", namespace="default").stdout
    assert listed.count("RUNNING") == 1


@pytest.mark.parametrize("point", ["task", "files", "snapshot"])
def test_a_removal_survives_the_daemon_at_each_step(own: Place, point: str) -> None:
    box = own.run("--rm", "--name", "passing", "busybox", "sleep", "1000")
    pid = own.calls.until(box, running).pid
    own.crash(f"supervisor.remove.{point}=crash")
    time.sleep(1.2)
    os.kill(pid, signal.SIGKILL)
    own.wait_for_death()
    own.daemon.process = None
    own.daemon.start()
    own.calls.until(box, gone)
    assert own.calls.names() == {}
    assert not (own.daemon.root / "containers/default" / box).exists()
    assert box not in own.daemon.ctr("snapshots", "ls", namespace="default").stdout
