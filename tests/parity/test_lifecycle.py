"""start, stop, kill, pause, wait, rm, rename, restart, update, attach."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.parity.cli import fresh

if TYPE_CHECKING:
    from tests.parity.cli import Cli

pytestmark = pytest.mark.root
TRAP = "trap 'echo got it; exit 7' TERM HUP; echo ready; while :; do sleep 0.05; done"


def _trapping(cli: Cli, *flags: str) -> str:
    name = fresh()
    cli.ok("run", "-d", "--name", name, "--network", "none", *flags, "busybox", "sh", "-c", TRAP)
    cli.until("ready", "logs", name)
    return name


def test_stop_lets_it_end(cli: Cli) -> None:
    name = _trapping(cli)
    assert cli.ok("stop", name) == name
    assert cli.show(name, "{{.State.ExitCode}} {{.State.Status}}") == "7 exited"
    assert cli.ok("logs", name) == "ready\ngot it"


def test_stop_kills_what_does_not_end(cli: Cli) -> None:
    name = cli.up()
    assert cli.ok("stop", "-t", "0", name) == name
    assert cli.show(name, "{{.State.ExitCode}}") == "137"


def test_stop_twice_is_fine(cli: Cli) -> None:
    name = cli.ended()
    assert cli.ok("stop", name) == name


def test_stop_signal_of_the_container(cli: Cli) -> None:
    name = _trapping(cli, "--stop-signal", "HUP")
    cli.ok("stop", name)
    assert cli.show(name, "{{.State.ExitCode}}") == "7"


def test_stop_several_and_one_that_is_not_there(cli: Cli) -> None:
    first, second = cli.up(), cli.up()
    done = cli.run("stop", "-t", "0", first, "par-nobody", second)
    assert (done.returncode, done.stdout.split()) == (1, [first, second])
    assert "No such container: par-nobody" in done.stderr


def test_kill(cli: Cli) -> None:
    name = cli.up()
    assert cli.ok("kill", name) == name
    assert cli.ok("wait", name) == "137"


@pytest.mark.parametrize("spelling", ["TERM", "SIGTERM", "15", "sigterm"])
def test_kill_with_a_signal(cli: Cli, spelling: str) -> None:
    name = _trapping(cli)
    assert cli.ok("kill", "-s", spelling, name) == name
    assert cli.ok("wait", name) == "7"


def test_kill_what_does_not_run(cli: Cli) -> None:
    name = cli.ended()
    said = cli.fails(1, "kill", name)
    assert f"Cannot kill container: {name}" in said
    assert "is not running" in said


def test_kill_with_no_signal_there_is(cli: Cli) -> None:
    name = cli.up()
    assert "nvalid signal: NOPE" in cli.fails(1, "kill", "-s", "NOPE", name)


def test_pause_and_unpause(cli: Cli) -> None:
    name = cli.up()
    assert cli.ok("pause", name) == name
    assert cli.show(name, "{{.State.Status}} {{.State.Paused}} {{.State.Running}}") == "paused true true"
    assert "(Paused)" in cli.ok("ps", "--filter", f"name={name}")
    assert cli.run("pause", name).returncode == 1
    assert cli.run("exec", name, "true").returncode == 1
    assert cli.ok("unpause", name) == name
    assert cli.show(name, "{{.State.Status}}") == "running"


def test_pause_what_does_not_run(cli: Cli) -> None:
    assert "is not running" in cli.fails(1, "pause", cli.ended())
    assert "is not paused" in cli.fails(1, "unpause", cli.up())


def test_wait_prints_codes_in_order(cli: Cli) -> None:
    first, second = cli.ended("sh", "-c", "exit 3"), cli.ended()
    assert cli.ok("wait", first, second) == "3\n0"


def test_wait_for_one_that_runs(cli: Cli) -> None:
    name = fresh()
    cli.ok("run", "-d", "--name", name, "--network", "none", "busybox", "sh", "-c", "sleep 0.5; exit 9")
    assert cli.ok("wait", name) == "9"


def test_rm_refuses_what_runs(cli: Cli) -> None:
    name = cli.up()
    assert "You cannot remove a running container" in cli.fails(1, "rm", name)
    assert cli.ok("rm", "-f", name) == name
    assert f"No such container: {name}" in cli.fails(1, "rm", name)


def test_rm_several(cli: Cli) -> None:
    names = [cli.ended(), cli.ended()]
    assert cli.ok("rm", *names).split() == names


def test_rename(cli: Cli) -> None:
    name, new = cli.ended(), fresh()
    assert cli.ok("rename", name, new) == ""
    assert cli.show(new, "{{.Name}}") == f"/{new}"
    assert f"No such container: {name}" in cli.fails(1, "rm", name)
    assert "same name" in cli.fails(1, "rename", new, new)


def test_rename_to_a_name_that_is_taken(cli: Cli) -> None:
    name, other = cli.ended(), cli.ended()
    assert "already in use" in cli.fails(1, "rename", name, other)


def test_restart(cli: Cli) -> None:
    name = cli.up()
    before = cli.show(name, "{{.State.Pid}}")
    assert cli.ok("restart", "-t", "0", name) == name
    after = cli.show(name, "{{.State.Pid}} {{.State.Status}} {{.RestartCount}}").split()
    assert after[0] != before
    assert after[1:] == ["running", "0"]


def test_restart_of_one_that_ended(cli: Cli) -> None:
    name = cli.ended("sh", "-c", "echo once more")
    cli.ok("restart", name)
    cli.ok("wait", name)
    assert cli.ok("logs", name) == "once more\nonce more"


def test_start_again_and_output_adds_up(cli: Cli) -> None:
    name = cli.ended("echo", "line")
    assert cli.ok("start", name) == name
    cli.ok("wait", name)
    assert cli.ok("start", "-a", name) == "line"
    assert cli.ok("logs", name) == "line\nline\nline"


def test_start_attached_passes_the_code_on(cli: Cli) -> None:
    name = cli.ended("sh", "-c", "exit 5")
    assert cli.run("start", "-a", name).returncode == 5


def test_start_interactive(cli: Cli) -> None:
    name = fresh()
    cli.ok("create", "-i", "--name", name, "--network", "none", "busybox", "cat")
    assert cli.ok("start", "-a", "-i", name, input=b"typed\n") == "typed"


def test_start_several_attached_is_refused(cli: Cli) -> None:
    names = [cli.ended(), cli.ended()]
    assert "you cannot start and attach multiple containers at once" in cli.fails(1, "start", "-a", *names).lower()


def test_start_of_one_that_runs_is_fine(cli: Cli) -> None:
    name = cli.up()
    assert cli.ok("start", name) == name


def test_files_stay_over_a_restart(cli: Cli) -> None:
    name = cli.up()
    cli.ok("exec", name, "touch", "/kept")
    cli.ok("restart", "-t", "0", name)
    assert cli.ok("exec", name, "ls", "/kept") == "/kept"


@pytest.mark.parametrize("policy", ["no", "always", "unless-stopped", "on-failure", "on-failure:3"])
def test_restart_policies_are_kept(cli: Cli, policy: str) -> None:
    name = cli.up("--restart", policy)
    kind, _, count = policy.partition(":")
    assert json.loads(cli.show(name, "{{json .HostConfig.RestartPolicy}}")) == {
        "Name": kind,
        "MaximumRetryCount": int(count or 0),
    }


def test_restart_policy_brings_it_up_again(cli: Cli) -> None:
    name = fresh()
    cli.ok("run", "-d", "--restart", "always", "--name", name, "--network", "none", "busybox", "sleep", "0.1")
    deadline = time.monotonic() + 20
    while int(cli.show(name, "{{.RestartCount}}")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cli.ok("stop", "-t", "0", name)
    time.sleep(0.5)
    assert cli.show(name, "{{.State.Status}}") == "exited"


def test_on_failure_counts(cli: Cli) -> None:
    name = fresh()
    cli.ok("run", "-d", "--restart", "on-failure:2", "--name", name, "--network", "none", "busybox", "false")
    deadline = time.monotonic() + 20
    while cli.show(name, "{{.RestartCount}} {{.State.Status}}") != "2 exited":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert cli.show(name, "{{.State.ExitCode}}") == "1"


def test_on_failure_leaves_success_alone(cli: Cli) -> None:
    name = cli.ended("true", flags=["--restart", "on-failure"])
    time.sleep(0.4)
    assert cli.show(name, "{{.RestartCount}} {{.State.Status}}") == "0 exited"


def test_update_memory(cli: Cli) -> None:
    name = cli.up("-m", "64m")
    assert cli.ok("update", "-m", "128m", "--memory-swap", "256m", name) == name
    assert cli.show(name, "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}") == f"{128 << 20} {256 << 20}"


def test_update_memory_beyond_swap_is_refused(cli: Cli) -> None:
    name = cli.up("-m", "64m")
    assert "emory limit should be smaller than already set memoryswap limit" in cli.fails(
        1, "update", "-m", "512m", name
    )


def test_update_restart(cli: Cli) -> None:
    name = cli.up()
    assert cli.ok("update", "--restart", "unless-stopped", name) == name
    assert cli.show(name, "{{.HostConfig.RestartPolicy.Name}}") == "unless-stopped"


def test_update_of_nothing_is_refused(cli: Cli) -> None:
    assert "you must provide one or more flags" in cli.fails(1, "update", cli.ended()).lower()


def test_update_cpus(cli: Cli) -> None:
    name = cli.up()
    cli.ok("update", "--cpus", "0.5", "--cpu-shares", "512", name)
    assert cli.show(name, "{{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}}") == "500000000 512"


def test_attach_gets_output_and_code(cli: Cli) -> None:
    name = _trapping(cli)
    attached = cli.start("attach", "--no-stdin", name)
    time.sleep(0.7)
    cli.ok("kill", "-s", "TERM", name)
    out, _ = attached.communicate(timeout=20)
    assert (attached.returncode, out) == (7, b"got it\n")


def test_attach_to_what_does_not_run(cli: Cli) -> None:
    said = cli.fails(1, "attach", cli.ended()).lower()
    assert "cannot attach to a stopped container" in said


def test_signals_are_passed_on(cli: Cli) -> None:
    name = fresh()
    client = cli.start("run", "--name", name, "--network", "none", "busybox", "sh", "-c", TRAP)
    cli.until("ready", "logs", name)
    client.send_signal(signal.SIGTERM)
    out, _ = client.communicate(timeout=20)
    assert (client.returncode, out) == (7, b"ready\ngot it\n")


def test_signals_are_not_passed_on_without_proxy(cli: Cli) -> None:
    name = fresh()
    client = cli.start("run", "--sig-proxy=false", "--name", name, "--network", "none", "busybox", "sh", "-c", TRAP)
    cli.until("ready", "logs", name)
    client.send_signal(signal.SIGTERM)
    try:
        client.communicate(timeout=2)
    except subprocess.TimeoutExpired:
        client.kill()
        client.communicate()
    assert cli.show(name, "{{.State.Status}}") == "running"


def test_container_prune(cli: Cli) -> None:
    ended, up = cli.ended(flags=["-l", "par=1"]), cli.up("-l", "par=1")
    identity = cli.show(ended, "{{.Id}}")
    said = cli.ok("container", "prune", "-f", "--filter", "label=par=1").splitlines()
    assert said[:2] == ["Deleted Containers:", identity]
    assert said[-1].startswith("Total reclaimed space: ")
    assert up in cli.ok("ps", "--format", "{{.Names}}").split()


def test_container_prune_asks(cli: Cli) -> None:
    name = cli.ended()
    done = cli.run("container", "prune", input=b"n\n")
    assert "WARNING! This will remove all stopped containers." in done.stdout
    assert name in cli.ok("ps", "-a", "--format", "{{.Names}}").split()


def test_health(cli: Cli) -> None:
    name = cli.up("--health-cmd", "test -e /fine", "--health-interval", "300ms", "--health-retries", "1")
    deadline = time.monotonic() + 20
    while cli.show(name, "{{.State.Health.Status}}") != "unhealthy":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "(unhealthy)" in cli.ok("ps", "--filter", f"name={name}")
    cli.ok("exec", name, "touch", "/fine")
    cli.until("(healthy)", "ps", "--filter", f"name={name}")
    log = json.loads(cli.show(name, "{{json .State.Health.Log}}"))
    assert {"Start", "End", "ExitCode", "Output"} <= log[0].keys()
    assert log[-1]["ExitCode"] == 0


def test_no_healthcheck(cli: Cli) -> None:
    name = cli.up("--no-healthcheck")
    assert cli.show(name, "{{json .State.Health}}") in ("null", "<no value>")
