"""Containers whose client has gone: restarts, ends, removal."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.support.supervision import Place, gone, running

pytestmark = pytest.mark.root


def test_always_comes_back_with_growing_pauses(place: Place) -> None:
    box = place.run("--restart", "always", "busybox", "false")
    begun = time.monotonic()
    status = place.calls.until(box, lambda it: it.restart_count >= 4)
    assert time.monotonic() - begun >= 0.7  # 0.1 + 0.2 + 0.4, and then the fourth pause begins
    assert status.exit_code == 1 or status.status == "running"
    assert place.calls.stop(box) == 1
    assert place.calls.until(box, lambda it: it.status == "exited").stopped


def test_on_failure_gives_up_after_so_many_attempts(place: Place) -> None:
    box = place.run("--restart", "on-failure:2", "busybox", "sh", "-c", "exit 7")
    status = place.calls.until(box, lambda it: it.status == "exited" and it.restart_count == 2)
    assert status.exit_code == 7
    time.sleep(0.6)
    assert place.calls.status(box).status == "exited"  # type: ignore[union-attr]


def test_on_failure_leaves_success_alone(place: Place) -> None:
    box = place.run("--restart", "on-failure", "busybox", "true")
    assert place.calls.until(box, lambda it: it.status == "exited").restart_count == 0


def test_killed_from_outside_it_comes_back_at_once(place: Place) -> None:
    box = place.run("--restart", "unless-stopped", "busybox", "sleep", "1000")
    first = place.calls.until(box, running)
    begun = time.monotonic()
    os.kill(first.pid, signal.SIGKILL)
    second = place.calls.until(box, lambda it: running(it) and it.pid != first.pid)
    assert time.monotonic() - begun < 2.0
    assert second.restart_count == 1
    assert second.started_at.seconds >= first.started_at.seconds


def test_stopped_it_stays_down_and_a_start_forgets(place: Place) -> None:
    box = place.run("--restart", "always", "--stop-timeout", "1", "busybox", "sleep", "1000")
    place.calls.until(box, running)
    assert place.calls.stop(box) == 137
    status = place.calls.status(box)
    assert status is not None
    assert (status.status, status.stopped, status.exit_code) == ("exited", True, 137)
    time.sleep(0.5)
    assert place.calls.status(box).status == "exited"  # type: ignore[union-attr]
    pid = place.calls.start(box)
    status = place.calls.status(box)
    assert status is not None
    assert (status.status, status.pid, status.stopped, status.restart_count) == ("running", pid, False, 0)
    assert place.calls.start(box) == pid


def test_a_mark_is_enough_to_let_a_kill_be_the_end(place: Place) -> None:
    box = place.run("--restart", "always", "busybox", "sleep", "1000")
    pid = place.calls.until(box, running).pid
    place.calls.mark_stopped(box)
    os.kill(pid, signal.SIGKILL)
    assert place.calls.until(box, lambda it: it.status == "exited").exit_code == 137
    time.sleep(0.4)
    assert place.calls.status(box).status == "exited"  # type: ignore[union-attr]


def test_a_stop_cancels_a_restart_that_waits(place: Place) -> None:
    box = place.run("--restart", "always", "busybox", "false")
    place.calls.until(box, lambda it: it.status == "restarting" and it.restart_count >= 4)
    place.calls.mark_stopped(box)
    status = place.calls.status(box)
    assert status is not None
    assert (status.status, status.restart_at) == ("exited", None)


def test_policies_change_while_it_runs_and_while_it_waits(place: Place) -> None:
    box = place.run("busybox", "sleep", "1000")
    first = place.calls.until(box, running)
    place.calls.set_policy(box, "on-failure:9")
    os.kill(first.pid, signal.SIGKILL)
    second = place.calls.until(box, lambda it: running(it) and it.pid != first.pid)
    assert second.restart_count == 1
    flapping = place.run("--restart", "always", "busybox", "false")
    place.calls.until(flapping, lambda it: it.status == "restarting" and it.restart_count >= 4)
    place.calls.set_policy(flapping, "no")
    place.calls.until(flapping, lambda it: it.status == "exited", 1.0)
    with pytest.raises(InvalidArgument, match="restart policy"):
        place.calls.set_policy(box, "sometimes")


def test_a_policy_and_removal_exclude_each_other(place: Place) -> None:
    box = place.run("--rm", "busybox", "sleep", "1000")
    with pytest.raises(InvalidArgument, match="AutoRemove is enabled"):
        place.calls.set_policy(box, "always")


def test_what_cannot_be_started_is_tried_again(place: Place) -> None:
    box = place.run("--restart", "always", "busybox", "sh", "-c", "rm /bin/sh; sleep 0.2")
    status = place.calls.until(box, lambda it: it.error and it.restart_count >= 2)
    assert "sh" in status.error
    assert status.exit_code == 128
    place.calls.mark_stopped(box)


def test_waiting_has_docker_s_conditions(place: Place) -> None:
    box = place.pyctr.ok("create", "busybox", "sh", "-c", "exit 3")
    assert place.calls.wait(box).exit_code == 0  # it never ran, so it does not run
    place.calls.start(box)
    assert place.calls.wait(box, "not-running").exit_code == 3
    with pytest.raises(InvalidArgument, match="condition"):
        place.calls.wait(box, "happy")
    with pytest.raises(NotFound):
        place.calls.wait("nobody")
    place.calls.remove(box)
    with pytest.raises(NotFound):
        place.calls.wait(box, "removed")


def test_remove_wants_it_down_or_force(place: Place) -> None:
    box = place.run("--restart", "always", "busybox", "sleep", "1000")
    pid = place.calls.until(box, running).pid
    with pytest.raises(FailedPrecondition, match="cannot remove a running container"):
        place.calls.remove(box)
    place.calls.remove(box, force=True)
    assert place.calls.status(box) is None
    assert not Path(f"/proc/{pid}").exists()
    assert box not in place.calls.names().values()
    assert not (place.daemon.root / "containers/default" / box).exists()


def test_removal_does_not_need_the_client(place: Place) -> None:
    client = place.pyctr.start("run", "--rm", "--name", "brief", "busybox", "sleep", "3")
    place.pyctr.until("brief", "ps")
    box = place.calls.resolve("brief").container_id
    client.kill()
    client.communicate()
    place.calls.until(box, gone)
    assert "brief" not in place.calls.names()
    assert place.pyctr.ok("ps", "-aq", "--no-trunc") == ""


def test_waiting_for_the_removal_tells_how_it_ended(place: Place) -> None:
    box = place.run("--rm", "busybox", "sh", "-c", "sleep 0.3; exit 5")
    assert place.calls.wait(box, "removed").exit_code == 5
    assert place.calls.status(box) is None


def test_an_end_is_remembered_when_the_task_is_gone(place: Place) -> None:
    box = place.run("busybox", "sh", "-c", "exit 9")
    place.calls.until(box, lambda it: it.status == "exited")
    place.daemon.ctr("task", "rm", box, namespace="default", check=False)
    status = place.calls.status(box)
    assert status is not None
    assert (status.status, status.exit_code, status.pid) == ("exited", 9, 0)
    assert status.started_at is not None
    assert status.finished_at is not None
    assert status.started_at.seconds <= status.finished_at.seconds


def test_a_shim_that_dies_is_an_end_like_another(place: Place) -> None:
    box = place.run("--restart", "on-failure", "busybox", "sleep", "1000")
    first = place.calls.until(box, running)
    status = Path(f"/proc/{first.pid}/status").read_text()
    shim = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid")))
    os.kill(shim, signal.SIGKILL)
    second = place.calls.until(box, lambda it: running(it) and it.pid != first.pid)
    assert second.restart_count == 1
    left = Path(f"/proc/{first.pid}/stat")
    assert not left.exists() or left.read_text().rpartition(")")[2].split()[0] == "Z"  # not every init reaps


def test_being_killed_for_memory_is_remembered(place: Place) -> None:
    box = place.run("-m", "16m", "busybox", "tail", "/dev/zero")
    status = place.calls.until(box, lambda it: it.status == "exited" and it.oom_killed)
    assert status.exit_code == 137
    place.calls.start(box)
    assert place.calls.until(box, lambda it: it.status == "exited" and it.oom_killed).exit_code == 137


def test_pausing_shows(place: Place) -> None:
    box = place.run("busybox", "sleep", "1000")
    place.pyctr.ok("pause", box)
    place.calls.until(box, lambda it: it.status == "paused", 2.0)
    place.pyctr.ok("unpause", box)
    place.calls.until(box, running, 2.0)


def test_namespaces_of_other_containers_are_joined_anew(place: Place) -> None:
    host = place.run("--name", "net-host", "busybox", "sleep", "1000")
    guest = place.run("--restart", "always", "--network", "container:net-host", "busybox", "sleep", "1000")
    first = place.calls.until(guest, running)
    place.calls.stop(host, 0.0)
    new_host = place.calls.start(host)
    os.kill(first.pid, signal.SIGKILL)
    second = place.calls.until(guest, lambda it: running(it) and it.pid != first.pid)
    assert os.readlink(f"/proc/{second.pid}/ns/net") == os.readlink(f"/proc/{new_host}/ns/net")


# -- containerd's labels --


def test_containerd_s_labels_are_honoured(place: Place) -> None:
    labels = ["--label", "containerd.io/restart.status=running", "--label", "containerd.io/restart.policy=on-failure:2"]
    log = place.daemon.base / "labelled.log"
    labels += ["--label", f"containerd.io/restart.loguri=file://{log}"]
    place.daemon.ctr(
        "run", "-d", *labels, "docker.io/library/busybox:latest", "labelled", "sh", "-c", "echo x; sleep 0.2; exit 4",
        namespace="default",
    )  # fmt: skip
    status = place.calls.until("labelled", lambda it: it.status == "exited" and it.restart_count == 2)
    assert status.exit_code == 4
    assert log.read_text() == "x\nx\n"  # not of the first run, whose output was its client's
    assert "containerd.io/restart.count=2" in place.daemon.ctr("containers", "ls", namespace="default").stdout + str(
        place.daemon.ctr("containers", "info", "labelled", namespace="default").stdout
    ).replace('": "', "=")
    place.calls.remove("labelled")


def test_the_stop_label_holds_a_container_down(place: Place) -> None:
    place.daemon.ctr(
        "run", "-d", "--label", "containerd.io/restart.status=running", "docker.io/library/busybox:latest", "held",
        "sleep", "1000", namespace="default",
    )  # fmt: skip
    first = place.calls.until("held", running)
    os.kill(first.pid, signal.SIGKILL)
    second = place.calls.until("held", lambda it: running(it) and it.pid != first.pid)
    place.daemon.ctr("containers", "label", "held", "containerd.io/restart.status=stopped", namespace="default")
    os.kill(second.pid, signal.SIGKILL)
    place.calls.until("held", lambda it: it.status == "exited")
    time.sleep(0.4)
    assert place.calls.status("held").status == "exited"  # type: ignore[union-attr]
    place.calls.remove("held")
