"""dockerd stands on our daemon: its users notice nothing. Debian's, and any other that the environment names."""

from __future__ import annotations

import json
import os
import pty
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import RunningDaemon
from tests.support.dockerd import EDITIONS, IMAGE, Docker, load_small_image, running_dockerd, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=EDITIONS)
def docker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Docker]:
    """dockerd on our daemon, with the small image loaded."""
    edition = EDITIONS[request.param]
    if edition.missing:
        pytest.skip(edition.missing)
    directory = tmp_path_factory.mktemp("dockerd")
    with RunningDaemon() as daemon, running_dockerd(directory, daemon.address, edition) as cli:
        load_small_image(cli, directory)
        yield cli


@pytest.fixture
def name(docker: Docker, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container name, removed afterwards."""
    value = request.node.originalname
    yield value
    docker("rm", "-f", value, check=False)


def state(docker: Docker, name: str) -> dict[str, object]:
    """The State part of inspect."""
    value: dict[str, object] = json.loads(docker("inspect", name).stdout)[0]["State"]
    return value


def in_terminal(argv: list[str], typed: bytes, seconds: float = 20) -> tuple[int, bytes]:
    """Run a command on a pty, type, and return its exit code and output."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    output, deadline, sent = b"", time.monotonic() + seconds, False
    while time.monotonic() < deadline:
        readable, _, _ = select.select([master], [], [], 0.2)
        if not readable:
            if not sent and output:
                os.write(master, typed)
                sent = True
            continue
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        output += data
    os.close(master)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), output


def test_run_passes_output_and_exit_code_on(docker: Docker) -> None:
    assert docker("run", "--rm", IMAGE, "echo", "hello").stdout == "hello\n"
    assert docker("run", "--rm", IMAGE, "sh", "-c", "exit 3", check=False).returncode == 3
    assert docker("run", "--rm", IMAGE, "/no/such", check=False).returncode == 127


def test_run_reads_standard_input(docker: Docker) -> None:
    assert docker("run", "--rm", "-i", IMAGE, "cat", stdin="a line\n").stdout == "a line\n"


def test_run_with_a_terminal(docker: Docker, name: str) -> None:
    code, output = in_terminal(docker.argv("run", "--name", name, "-it", IMAGE, "sh"), b"tty; exit 5\n")
    assert b"/dev/pts/0" in output
    assert code == 5


def test_exec_and_logs(docker: Docker, name: str) -> None:
    docker("run", "-d", "--name", name, IMAGE, "sh", "-c", "echo one; echo two >&2; sleep 1000")
    assert docker("exec", name, "echo", "inside").stdout == "inside\n"
    assert docker("exec", name, "sh", "-c", "exit 9", check=False).returncode == 9
    assert docker(
        "exec", "-e", "A=b", "-w", "/tmp", "-u", "nobody", name, "sh", "-c", "echo $A $PWD $(id -u)"
    ).stdout == ("b /tmp 65534\n")
    logs = docker("logs", name)
    assert (logs.stdout, logs.stderr) == ("one\n", "two\n")


def test_stats_tell_memory_and_pids(docker: Docker, name: str) -> None:
    docker("run", "-d", "--name", name, "-m", "64m", IMAGE, "sleep", "1000")
    line = json.loads(docker("stats", "--no-stream", "--format", "{{json .}}", name).stdout)
    assert line["PIDs"] == "1"
    assert line["MemUsage"].endswith("/ 64MiB")


def test_pause_stop_and_remove(docker: Docker, name: str) -> None:
    docker("run", "-d", "--name", name, IMAGE, "sh", "-c", "trap 'exit 4' TERM; while true; do sleep 0.1; done")
    docker("pause", name)
    assert state(docker, name)["Paused"] is True
    docker("unpause", name)
    docker("stop", "-t", "10", name)
    assert state(docker, name)["ExitCode"] == 4
    docker("rm", name)
    assert docker("inspect", name, check=False).returncode == 1


def test_kill_is_137(docker: Docker, name: str) -> None:
    docker("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    docker("kill", name)
    until(lambda: state(docker, name)["Running"] is False)
    assert state(docker, name)["ExitCode"] == 137


def test_restart_policy_over_a_kill(docker: Docker, name: str) -> None:
    docker("run", "-d", "--name", name, "--restart", "always", IMAGE, "sleep", "1000")
    first = state(docker, name)["Pid"]
    os.kill(int(str(first)), 9)
    until(lambda: state(docker, name)["Running"] is True and state(docker, name)["Pid"] not in {0, first})


def test_build_with_a_run_step(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo built > /made\nCMD cat /made\n")
    docker("build", "-q", "-t", "interop/built", str(tmp_path))
    assert docker("run", "--rm", "interop/built").stdout == "built\n"
    docker("rmi", "interop/built")


def test_top_and_update(docker: Docker, name: str) -> None:
    docker("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    assert "sleep 1000" in docker("top", name).stdout
    docker("update", "-m", "32m", "--memory-swap", "32m", name)
    assert json.loads(docker("inspect", name).stdout)[0]["HostConfig"]["Memory"] == 32 << 20


def test_images_come_and_go(docker: Docker, name: str, tmp_path: Path) -> None:
    docker("tag", IMAGE, "interop/copy:1")
    docker("run", "--name", name, IMAGE, "sh", "-c", "echo new > /made; rm /bin/vi")
    assert sorted(docker("diff", name).stdout.splitlines()) == ["A /made", "C /bin", "D /bin/vi"]
    docker("commit", "-c", "CMD cat /made", name, "interop/committed:1")
    assert docker("run", "--rm", "interop/committed:1").stdout == "new\n"
    assert docker("run", "--rm", "interop/committed:1", "ls", "/bin/vi", check=False).returncode == 1
    archive = tmp_path / "saved.tar"
    docker("save", "-o", str(archive), "interop/committed:1", "interop/copy:1")
    docker("rmi", "interop/committed:1", "interop/copy:1")
    assert docker("run", "--rm", "--pull", "never", "interop/committed:1", check=False).returncode == 125
    loaded = docker("load", "-i", str(archive)).stdout
    assert "interop/committed:1" in loaded
    assert "interop/copy:1" in loaded
    assert docker("run", "--rm", "interop/committed:1").stdout == "new\n"
    assert len(docker("history", "-q", "interop/committed:1").stdout.split()) == 2
    docker("rmi", "interop/committed:1", "interop/copy:1")


def test_what_cannot_be_run_says_at_which_step(docker: Docker) -> None:
    done = docker("run", "--rm", IMAGE, "/no/such", check=False)
    assert "failed to create shim task: OCI runtime create failed" in done.stderr
    assert "/no/such" in done.stderr
