"""Our shim under containerd, Debian's 1.6 and newer ones (``tests.support.peers``)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from pycontainerd.linux.mount import unmount_all
from tests.integration.shim.harness import eventually, make_rootfs, running
from tests.integration.shim.test_start import PROGRAM, own_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.peers import Peer

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
Done: TypeAlias = "subprocess.CompletedProcess[str]"


class Containerd:
    """containerd with a root, state and socket of its own, our shim on its PATH."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pc-shim-", dir="/tmp"))
        self.address = str(self.base / "c.sock")
        programs = self.base / "bin"
        programs.mkdir()
        program = programs / "containerd-shim-pycontainerd-v1"
        program.write_text(f"#!{sys.executable} -IS\n{PROGRAM}\n")
        program.chmod(0o755)
        self.environment = {**os.environ, **own_template(self.base), "PATH": f"{programs}:{os.environ['PATH']}"}
        (self.base / "config.toml").write_text(
            'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'root = "{self.base}/root"\nstate = "{self.base}/state"\n'
            f'[grpc]\naddress = "{self.address}"\n[ttrpc]\naddress = "{self.address}.ttrpc"\n'
        )
        self.rootfs = self.base / "rootfs"
        make_rootfs(self.rootfs)
        self.start()

    def start(self) -> None:
        command = ["containerd", "--config", str(self.base / "config.toml")]
        with (self.base / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        eventually(lambda: self.ctr("version", check=False).returncode == 0, 30)

    def ctr(self, *arguments: str, check: bool = True) -> Done:
        command = ["ctr", "-a", self.address, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, (arguments, done.stdout, done.stderr, self.log())
        return done

    def run(self, name: str, *command: str, flags: Sequence[str] = (), check: bool = True) -> Done:
        runtime = ["--runtime", "io.containerd.pycontainerd.v1"]
        return self.ctr("run", *runtime, *flags, "--rootfs", str(self.rootfs), name, *command, check=check)

    def log(self) -> str:
        return (self.base / "log").read_text()[-3000:]

    def shims(self) -> list[int]:
        """The shims of our containers: those that hold a log FIFO of ours."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str(self.base / "state") in os.readlink(path / "fd/2") and running(int(path.name)):
                    found.append(int(path.name))
        return found

    def close(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            for name in self.ctr("task", "ls", "-q", check=False).stdout.split():
                self.ctr("task", "rm", "-f", name, check=False)
                self.ctr("container", "rm", name, check=False)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in self.shims():
            os.kill(pid, signal.SIGKILL)
        unmount_all(str(self.base))
        shutil.rmtree(self.base, ignore_errors=True)


@pytest.fixture(scope="module")
def containerd(peer: Peer) -> Iterator[Containerd]:
    made = Containerd()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("status", [0, 1, 137])
def test_containerd_runs_a_container_to_its_end(containerd: Containerd, status: int) -> None:
    script = f"echo out; echo err >&2; exit {status}"
    done = containerd.run(f"end{status}", "/bin/sh", "-c", script, flags=["--rm"], check=False)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert done.returncode == status
    eventually(lambda: not containerd.shims())
    assert not list((containerd.base / "state/io.containerd.runtime.v2.task/default").iterdir())


def test_containerd_execs_pauses_and_kills(containerd: Containerd) -> None:
    containerd.run("busy", "/bin/sleep", "100", flags=["-d"])
    done = containerd.ctr("task", "exec", "--exec-id", "e", "busy", "/bin/sh", "-c", "echo inside; exit 5", check=False)
    assert (done.stdout, done.returncode) == ("inside\n", 5)
    containerd.ctr("task", "pause", "busy")
    assert "PAUSED" in containerd.ctr("task", "ls").stdout
    containerd.ctr("task", "resume", "busy")
    assert "RUNNING" in containerd.ctr("task", "ls").stdout
    assert "busy" in containerd.ctr("task", "metrics", "busy").stdout
    assert len(containerd.ctr("task", "ps", "busy").stdout.splitlines()) == 2
    containerd.ctr("task", "kill", "-s", "SIGKILL", "busy")
    eventually(lambda: "STOPPED" in containerd.ctr("task", "ls").stdout)
    done = containerd.ctr("task", "rm", "busy", check=False)
    assert done.returncode == 137 or "137" in done.stderr
    containerd.ctr("container", "rm", "busy")
    eventually(lambda: not containerd.shims())


def test_containers_outlive_a_restart_of_containerd(containerd: Containerd) -> None:
    containerd.run("stays", "/bin/sleep", "100", flags=["-d"])
    containerd.run("goes", "/bin/sleep", "3", flags=["-d"])
    containerd.process.kill()
    containerd.process.wait()
    time.sleep(3)
    containerd.start()
    tasks = containerd.ctr("task", "ls").stdout
    state = {line.split()[0]: line.split()[2] for line in tasks.splitlines()[1:]}
    # Since 1.7 containerd takes a task that ended while it was away for one that leaked, and removes it.
    assert state in ({"stays": "RUNNING", "goes": "STOPPED"}, {"stays": "RUNNING"})
    done = containerd.ctr("task", "exec", "--exec-id", "e", "stays", "/bin/echo", "still here")
    assert done.stdout == "still here\n"
    containerd.ctr("task", "rm", "-f", "stays", check=False)
    containerd.ctr("task", "rm", "goes", check="goes" in state)
    for name in ("stays", "goes"):
        containerd.ctr("container", "rm", name)
    eventually(lambda: not containerd.shims())


def test_containerd_cleans_up_after_a_killed_shim(containerd: Containerd) -> None:
    containerd.run("orphan", "/bin/sleep", "100", flags=["-d"])
    pid = int(containerd.ctr("task", "ls").stdout.splitlines()[1].split()[1])
    (shim,) = containerd.shims()
    os.kill(shim, signal.SIGKILL)
    eventually(lambda: not running(pid), 20)
    eventually(lambda: "orphan" not in containerd.ctr("task", "ls").stdout)
    containerd.ctr("container", "rm", "orphan")
    assert not list((containerd.base / "state/io.containerd.runtime.v2.task/default").iterdir())


def test_a_missing_program_is_told_by_ctr(containerd: Containerd) -> None:
    done = containerd.run("missing", "/bin/nothing", flags=["--rm"], check=False)
    assert done.returncode != 0
    assert "/bin/nothing" in done.stderr
    containerd.ctr("container", "rm", "missing", check=False)  # ctr leaves it or not, depending on its version
    eventually(lambda: not containerd.shims())


def test_containerd_is_told_that_memory_ran_out(containerd: Containerd) -> None:
    heard = containerd.base / "events"

    def listening() -> bool:
        containerd.ctr("namespaces", "create", f"n{time.monotonic_ns()}")
        return "/namespaces/create" in heard.read_text()

    with heard.open("wb") as file:
        watcher = subprocess.Popen(["ctr", "-a", containerd.address, "events"], stdout=file)
    try:
        eventually(listening, 20)
        hog = ("/bin/sh", "-c", "x=a; while true; do x=$x$x; done")
        done = containerd.run("hog", *hog, flags=["--rm", "--memory-limit", str(16 << 20)], check=False)
        assert done.returncode == 137
        eventually(lambda: "/tasks/delete" in heard.read_text())
    finally:
        watcher.terminate()
        watcher.wait(10)
    told = heard.read_text()
    assert 0 < told.find("/tasks/oom") < told.find("/tasks/exit")


def test_a_logger_program_gets_the_output(containerd: Containerd) -> None:
    out, program = containerd.base / "logged", containerd.base / "logger"
    program.write_text(f'#!/bin/sh\necho "$@ $CONTAINER_ID" > {out}\nexec 5>&-\ncat <&3 >> {out}\ncat <&4 >> {out}\n')
    program.chmod(0o755)
    flags = ["-d", "--log-uri", f"binary://{program}?key=value"]
    containerd.run("logged", "/bin/sh", "-c", "echo out; echo err >&2", flags=flags)
    eventually(lambda: out.exists() and out.read_text() == "key value logged\nout\nerr\n", 20)
    eventually(lambda: "STOPPED" in containerd.ctr("task", "ls").stdout)
    containerd.ctr("task", "rm", "logged")
    containerd.ctr("container", "rm", "logged")


def test_members_of_a_pod_share_a_shim(containerd: Containerd) -> None:
    pod = ["-d", "--annotation", "io.kubernetes.cri.sandbox-id=pod"]
    for name in ("pod", "member"):
        containerd.run(name, "/bin/sleep", "100", flags=pod)
    assert len(containerd.shims()) == 1
    for name in ("member", "pod"):
        done = containerd.ctr("task", "exec", "--exec-id", "e", name, "/bin/echo", name)
        assert done.stdout == f"{name}\n"
        containerd.ctr("task", "rm", "-f", name, check=False)
        containerd.ctr("container", "rm", name)
    eventually(lambda: not containerd.shims())


def test_containerd_asks_what_the_runtime_offers(containerd: Containerd, peer: Peer) -> None:
    if peer.version < (2, 0):
        pytest.skip("asked since 2.0")
    told = json.loads(containerd.ctr("plugins", "inspect-runtime", "--runtime", "io.containerd.pycontainerd.v1").stdout)
    assert told["Name"] == "containerd-shim-pycontainerd-v1"
    assert "createRuntime" in told["Features"]["hooks"]
