"""ctr on our socket, Debian's 1.6 and newer ones: what runs (containers, tasks, execs, events)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.ctr import IMAGE, Terminal, archive
from tests.support.daemon import RunningDaemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.peers import Peer

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
SHIMS = {"built-in": "", "theirs": 'runtimes."io.containerd.runc.v2".shim = "{shim}"'}


@pytest.fixture(scope="module", params=SHIMS)
def daemon(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, peer: Peer
) -> Iterator[RunningDaemon]:
    """A daemon with the small image, once on our own shim and once on theirs."""
    tar = archive(tmp_path_factory.mktemp("image") / "busybox.tar", IMAGE)
    with RunningDaemon(config=SHIMS[request.param].format(shim=peer.shim)) as running:
        running.ctr("images", "import", str(tar))
        yield running
        assert running.ctr("tasks", "ls", "-q").stdout.split() == []
        running.stop()
        _until(lambda: not running.leftover_processes())
        assert running.leftover_mounts() == []


def _until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def sleeper(daemon: RunningDaemon, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container that sleeps until the test is over."""
    name = request.node.originalname.replace("test_", "").replace("_", "-")
    daemon.ctr("run", "-d", IMAGE, name, "sleep", "1000")
    yield name
    daemon.ctr("tasks", "rm", "-f", name, check=False)
    daemon.ctr("containers", "rm", name, check=False)


def tasks(daemon: RunningDaemon) -> dict[str, str]:
    return {line.split()[0]: line.split()[2] for line in daemon.ctr("tasks", "ls").stdout.splitlines()[1:]}


def test_output_and_exit_codes(daemon: RunningDaemon) -> None:
    assert daemon.ctr("run", "--rm", IMAGE, "echo", "echo", "hello").stdout == "hello\n"
    done = daemon.ctr("run", "--rm", IMAGE, "fails", "sh", "-c", "echo no >&2; exit 3", check=False)
    assert (done.returncode, done.stderr) == (3, "no\n")
    assert daemon.ctr("containers", "ls", "-q").stdout.split() == []
    assert daemon.ctr("snapshots", "ls").stdout.count("Active") == 0


def test_a_terminal(daemon: RunningDaemon) -> None:
    terminal = Terminal(["ctr", "-a", daemon.address, "run", "-t", "--rm", IMAGE, "tty", "sh"])
    terminal.expect("#")
    terminal.type("test -t 0 && echo is-a-$((1+1))-tty\n")
    terminal.expect("is-a-2-tty")
    terminal.type("exit 5\n")
    assert terminal.wait() == 5


def test_run_variants(daemon: RunningDaemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from outside\n")
    mount = f"type=bind,src={tmp_path},dst=/mnt,options=rbind:ro"
    script = "cat /mnt/file; hostname; echo $COLOUR; pwd; touch /mnt/x 2>/dev/null || echo read-only"
    options = ["--mount", mount, "--env", "COLOUR=red", "--cwd", "/tmp", "--net-host"]
    done = daemon.ctr("run", "--rm", *options, IMAGE, "variants", "sh", "-c", script)
    lines = done.stdout.split("\n")
    assert lines[0] == "from outside"
    assert lines[2:5] == ["red", "/tmp", "read-only"]
    daemon.ctr("run", "-d", "--memory-limit", str(64 << 20), IMAGE, "limited", "sleep", "100")
    metrics = daemon.ctr("tasks", "metrics", "--format", "json", "limited").stdout
    assert str(64 << 20) in metrics
    daemon.ctr("tasks", "rm", "-f", "limited")
    daemon.ctr("containers", "rm", "limited")
    root = daemon.ctr("run", "--rm", "--read-only", IMAGE, "ro", "touch", "/x", check=False)
    assert root.returncode == 1
    assert "Read-only" in root.stderr
    assert daemon.ctr("run", "--rm", "--privileged", IMAGE, "priv", "sh", "-c", "grep CapEff /proc/self/status").stdout


def test_a_root_filesystem_without_an_image(daemon: RunningDaemon, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    subprocess.run(["cp", "/bin/busybox", str(tmp_path / "bin/busybox")], check=True)
    command = ["run", "--rm", "--rootfs", str(tmp_path), "rootfs", "/bin/busybox", "echo", "plain"]
    assert daemon.ctr(*command).stdout == "plain\n"


def test_native_snapshots_and_a_named_runtime(daemon: RunningDaemon) -> None:
    tar = archive(daemon.base / "native.tar", IMAGE)
    daemon.ctr("images", "import", "--snapshotter", "native", str(tar))
    command = ["run", "--rm", "--snapshotter", "native", "--runc-binary", "/usr/sbin/runc"]
    assert daemon.ctr(*command, IMAGE, "native", "echo", "ok").stdout == "ok\n"


def test_a_task_in_steps(daemon: RunningDaemon) -> None:
    daemon.ctr("containers", "create", IMAGE, "steps", "ls", "/none", "/etc/passwd")
    assert daemon.ctr("containers", "ls", "-q").stdout.split() == ["steps"]
    info = json.loads(daemon.ctr("containers", "info", "steps").stdout)
    assert (info["ID"], info["Image"], info["Runtime"]["Name"]) == ("steps", IMAGE, "io.containerd.runc.v2")
    assert info["Spec"]["process"]["args"] == ["ls", "/none", "/etc/passwd"]
    daemon.ctr("containers", "label", "steps", "a=b")
    assert json.loads(daemon.ctr("containers", "info", "steps").stdout)["Labels"]["a"] == "b"
    done = daemon.ctr("tasks", "start", "steps", check=False)
    assert (done.returncode, done.stdout) == (1, "/etc/passwd\n")
    daemon.ctr("containers", "rm", "steps")
    assert "not found" in daemon.ctr("containers", "info", "steps", check=False).stderr


def test_exec(daemon: RunningDaemon, sleeper: str) -> None:
    assert daemon.ctr("tasks", "exec", "--exec-id", "a", sleeper, "id", "-u").stdout == "0\n"
    done = daemon.ctr("tasks", "exec", "--exec-id", "b", sleeper, "sh", "-c", "echo err >&2; exit 9", check=False)
    assert (done.returncode, done.stderr) == (9, "err\n")
    fed = daemon.ctr("tasks", "exec", "--exec-id", "c", sleeper, "cat", input=b"fed\n")
    assert fed.stdout == "fed\n"
    assert "no such file" in daemon.ctr("tasks", "exec", "--exec-id", "d", sleeper, "/none", check=False).stderr.lower()
    terminal = Terminal(["ctr", "-a", daemon.address, "tasks", "exec", "-t", "--exec-id", "e", sleeper, "sh"])
    terminal.expect("#")
    terminal.type("stty size; exit 0\n")
    terminal.expect("exit 0")
    assert terminal.wait() == 0


def test_processes(daemon: RunningDaemon, sleeper: str) -> None:
    pids = [line.split()[0] for line in daemon.ctr("tasks", "ps", sleeper).stdout.splitlines()[1:]]
    assert len(pids) == 1
    assert Path(f"/proc/{pids[0]}/comm").read_text().strip() == "sleep"


def test_pause_and_resume(daemon: RunningDaemon, sleeper: str) -> None:
    daemon.ctr("tasks", "pause", sleeper)
    assert tasks(daemon)[sleeper] == "PAUSED"
    daemon.ctr("tasks", "resume", sleeper)
    assert tasks(daemon)[sleeper] == "RUNNING"


def test_metrics(daemon: RunningDaemon, sleeper: str) -> None:
    assert "memory.usage_in_bytes" in daemon.ctr("tasks", "metrics", sleeper).stdout


def test_kill_and_remove(daemon: RunningDaemon, sleeper: str) -> None:
    assert "must be stopped" in daemon.ctr("tasks", "rm", sleeper, check=False).stderr
    daemon.ctr("tasks", "kill", "-s", "SIGKILL", sleeper)
    _until(lambda: tasks(daemon)[sleeper] == "STOPPED")
    assert "not found" in daemon.ctr("tasks", "kill", sleeper, check=False).stderr
    daemon.ctr("tasks", "rm", sleeper, check=False)
    assert sleeper not in tasks(daemon)


def test_attach(daemon: RunningDaemon) -> None:
    first = subprocess.Popen(
        ["ctr", "-a", daemon.address, "run", IMAGE, "attached", "sh", "-c", "sleep 2; echo late"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    _until(lambda: tasks(daemon).get("attached") == "RUNNING")
    second = subprocess.Popen(
        ["ctr", "-a", daemon.address, "tasks", "attach", "attached"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    both = [process.communicate(timeout=30)[0] for process in (second, first)]
    assert b"late" in b"".join(both)
    daemon.ctr("tasks", "rm", "-f", "attached", check=False)
    daemon.ctr("containers", "rm", "attached", check=False)


def test_events(daemon: RunningDaemon) -> None:
    with subprocess.Popen(["ctr", "-a", daemon.address, "events"], stdout=subprocess.PIPE, text=True) as watcher:
        try:
            time.sleep(0.5)
            daemon.ctr("run", "-d", IMAGE, "told", "sleep", "100", namespace="default")
            daemon.ctr("tasks", "exec", "--exec-id", "x", "told", "true")
            daemon.ctr("tasks", "pause", "told")
            daemon.ctr("tasks", "resume", "told")
            daemon.ctr("tasks", "rm", "-f", "told")
            daemon.ctr("containers", "rm", "told")
            time.sleep(1)
        finally:
            watcher.terminate()
        lines = watcher.communicate(timeout=10)[0].splitlines()
    topics = [line.split()[5] for line in lines if '"told"' in line]
    wanted = ["/containers/create", "/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started"]
    wanted += ["/tasks/exit", "/tasks/paused", "/tasks/resumed", "/tasks/exit", "/tasks/delete", "/containers/delete"]
    assert [topic for topic in topics if topic in wanted] == wanted


def test_mistakes_are_sentences_and_leave_nothing(daemon: RunningDaemon) -> None:
    for name, arguments in {
        "no-binary": ["none-such"],
        "no-permission": ["/etc/passwd"],
    }.items():
        done = daemon.ctr("run", "--rm", IMAGE, name, *arguments, check=False)
        assert done.returncode not in {0, 125}
        assert name not in tasks(daemon)
        assert "Traceback" not in done.stderr
        daemon.ctr("containers", "rm", name, check=False)
    done = daemon.ctr("run", "--rm", "--runtime", "io.containerd.none.v9", IMAGE, "runtime", check=False)
    assert "containerd-shim-none-v9" in done.stderr
    daemon.ctr("containers", "rm", "runtime", check=False)


def test_a_restart_finds_what_runs_and_tells_how_the_rest_ended(daemon: RunningDaemon) -> None:
    daemon.ctr("run", "-d", IMAGE, "lives", "sleep", "1000")
    daemon.ctr("run", "-d", IMAGE, "ends", "sh", "-c", "sleep 1.5; exit 7")
    daemon.kill()
    time.sleep(2)
    daemon.start()
    try:
        _until(lambda: tasks(daemon).items() >= {"lives": "RUNNING", "ends": "STOPPED"}.items())
        assert daemon.ctr("tasks", "exec", "--exec-id", "r", "lives", "echo", "here").stdout == "here\n"
        assert "exit code 7" in daemon.ctr("tasks", "rm", "ends", check=False).stderr
        daemon.ctr("tasks", "kill", "-s", "KILL", "lives")
        _until(lambda: tasks(daemon)["lives"] == "STOPPED")
    finally:
        for name in ("lives", "ends"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.ctr("tasks", "rm", "-f", name, check=False)
                daemon.ctr("containers", "rm", name, check=False)
