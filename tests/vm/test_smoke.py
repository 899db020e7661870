"""What only a host with systemd and cgroup v2 can show; run inside the virtual machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PYCTR = str(TOP / ".venv/bin/pyctr")
SOCKET = "/run/pycontainerd/containerd.sock"
IMAGE = "vm/busybox:latest"
CGROUP = Path("/sys/fs/cgroup")
pytestmark = pytest.mark.timeout(600)


def pyctr(*args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the client against the service."""
    done = subprocess.run([PYCTR, *args], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module", autouse=True)
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The systemd unit, installed and running, with the small image loaded."""
    subprocess.run([str(TOP / "scripts/install-service")], check=True)
    archive = tmp_path_factory.mktemp("image") / "busybox.tar"
    subprocess.run([sys.executable, str(TOP / "scripts/busybox_image.py"), str(archive), IMAGE], check=True)
    pyctr("load", "-i", str(archive))
    yield
    subprocess.run(["systemctl", "disable", "--now", "pycontainerd"], check=False)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A container name that is removed afterwards."""
    value = request.node.name.replace("_", "-")[:40]
    yield value
    pyctr("rm", "-f", value, check=False)


def pid_of(name: str) -> int:
    """The init pid of a container."""
    return int(json.loads(pyctr("inspect", name).stdout)[0]["State"]["Pid"])


def cgroup_of(pid: int) -> Path:
    """The cgroup v2 directory of a process."""
    return CGROUP / Path(f"/proc/{pid}/cgroup").read_text().strip().partition("::/")[2]


def test_the_host_is_what_we_came_for() -> None:
    kind = subprocess.run(["stat", "-fc", "%T", "/sys/fs/cgroup"], capture_output=True, text=True, check=True).stdout
    assert kind.strip() == "cgroup2fs"
    assert Path("/run/systemd/system").is_dir()


def test_the_service_reports_ready() -> None:
    show = subprocess.run(
        ["systemctl", "show", "-p", "ActiveState", "pycontainerd"], capture_output=True, text=True, check=True
    )
    assert show.stdout.strip() == "ActiveState=active"


def test_limits_reach_the_cgroup(name: str) -> None:
    pyctr(
        "run",
        "-d",
        "--name",
        name,
        "--network",
        "none",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "50",
        IMAGE,
        "sleep",
        "1000",
    )
    group = cgroup_of(pid_of(name))
    assert (group / "memory.max").read_text().strip() == str(64 << 20)
    assert (group / "cpu.max").read_text().split() == ["50000", "100000"]
    assert (group / "pids.max").read_text().strip() == "50"


def test_metrics_are_cgroup_v2(name: str) -> None:
    pyctr("run", "-d", "--name", name, "--network", "none", IMAGE, "sleep", "1000")
    ident = json.loads(pyctr("inspect", name).stdout)[0]["Id"]
    shown = subprocess.run(
        ["ctr", "-a", SOCKET, "task", "metrics", ident], capture_output=True, text=True, check=True
    ).stdout
    assert "memory.usage" in shown


def test_out_of_memory_is_told(name: str) -> None:
    script = "x=a; while true; do x=$x$x; done"
    done = pyctr("run", "--name", name, "--network", "none", "-m", "16m", IMAGE, "sh", "-c", script, check=False)
    assert done.returncode == 137
    assert json.loads(pyctr("inspect", name).stdout)[0]["State"]["OOMKilled"] is True


def test_containers_outlive_a_restart_of_the_service(name: str) -> None:
    pyctr("run", "-d", "--name", name, "--network", "none", IMAGE, "sh", "-c", "sleep 3; exit 7")
    other = f"{name}-long"
    pyctr("run", "-d", "--name", other, "--network", "none", IMAGE, "sleep", "1000")
    try:
        pid = pid_of(other)
        subprocess.run(["systemctl", "stop", "pycontainerd"], check=True)
        time.sleep(5)
        assert Path(f"/proc/{pid}").exists()
        subprocess.run(["systemctl", "start", "pycontainerd"], check=True)
        assert pid_of(other) == pid
        assert pyctr("exec", other, "echo", "alive").stdout == "alive\n"
        until(lambda: not json.loads(pyctr("inspect", name).stdout)[0]["State"]["Running"])
        assert json.loads(pyctr("inspect", name).stdout)[0]["State"]["ExitCode"] == 7
    finally:
        pyctr("rm", "-f", other, check=False)


def test_the_systemd_cgroup_driver_makes_a_scope(tmp_path: Path) -> None:
    argv = ["ctr", "-a", SOCKET, "run", "-d", "--runc-systemd-cgroup", "--cgroup", "system.slice:vm:scoped"]
    images = subprocess.run(
        ["ctr", "-a", SOCKET, "images", "ls", "-q"], capture_output=True, text=True, check=True
    ).stdout
    image = next(line for line in images.split() if "vm/busybox" in line)
    subprocess.run([*argv, image, "scoped", "sleep", "1000"], check=True)
    try:
        units = subprocess.run(
            ["systemctl", "list-units", "--type=scope", "--no-legend"], capture_output=True, text=True, check=True
        )
        assert "vm-scoped.scope" in units.stdout
    finally:
        subprocess.run(["ctr", "-a", SOCKET, "task", "kill", "-s", "KILL", "scoped"], check=False)
        time.sleep(1)
        subprocess.run(["ctr", "-a", SOCKET, "task", "rm", "scoped"], check=False)
        subprocess.run(["ctr", "-a", SOCKET, "container", "rm", "scoped"], check=False)


def test_containers_are_confined_by_a_profile() -> None:
    def confined(*options: str) -> str:
        return pyctr(
            "run", "--rm", "--network", "none", *options, IMAGE, "cat", "/proc/self/attr/current"
        ).stdout.strip()

    assert confined() == "pycontainerd-default (enforce)"
    assert confined("--security-opt", "apparmor=unconfined") == "unconfined"
    assert confined("--privileged") == "unconfined"
    mount = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
    script = "mount -t tmpfs none /tmp && echo mounted"
    run = ("run", "--rm", "--network", "none", *mount)
    assert "mounted" not in pyctr(*run, IMAGE, "sh", "-c", script, check=False).stdout
    free = ("--security-opt", "apparmor=unconfined")
    assert "mounted" in pyctr(*run, *free, IMAGE, "sh", "-c", script).stdout


def test_the_journal_takes_logs(name: str) -> None:
    pyctr(
        "run", "-d", "--name", name, "--network", "none", "--log-driver", "journald", IMAGE, "echo", "into the journal"
    )

    def told() -> bool:
        command = ["journalctl", "-o", "cat", f"CONTAINER_NAME={name}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return shown == "into the journal\n"

    until(told)


def test_a_container_is_checkpointed_and_goes_on_from_there() -> None:
    def ctr(*args: str, check: bool = True) -> str:
        command = ["ctr", "-a", SOCKET, *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def gone(container: str) -> None:
        ctr("task", "rm", "-f", container, check=False)
        ctr("container", "rm", container, check=False)

    image = next(line for line in ctr("images", "ls", "-q").split() if "vm/busybox" in line)
    script = "n=0; while true; do n=$((n+1)); echo $n >/count; sleep 0.2; done"
    run = ["run", "-d", "--runc-binary", "runc", "--null-io", image, "counter", "sh", "-c", script]

    def count(container: str) -> int:
        return int(ctr("task", "exec", "--exec-id", f"e{time.monotonic_ns()}", container, "cat", "/count") or 0)

    try:
        ctr(*run)
        until(lambda: count("counter") >= 10)
        ctr("container", "checkpoint", "--rw", "--task", "counter", "vm/checkpoint:latest")
        gone("counter")
        ctr("container", "restore", "--rw", "--live", "again", "vm/checkpoint:latest")
        assert count("again") >= 10
        seen = count("again")
        until(lambda: count("again") > seen)
    finally:
        gone("counter")
        gone("again")
        ctr("images", "rm", "vm/checkpoint:latest", check=False)


def test_nothing_is_left(name: str) -> None:
    pyctr("run", "--rm", "--name", name, "--network", "none", IMAGE, "true")
    mounts = Path("/proc/self/mountinfo").read_text()
    assert not [line for line in mounts.splitlines() if f"/{name}/" in line]
