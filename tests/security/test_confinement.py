"""What a container sees and may do, however it was started: by pyctr, by ctr, as an exec."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.e2e.pyctr import Pyctr
from tests.support.daemon import RunningDaemon
from tests.support.images import build, busybox_layer, oci_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.root
IMAGE = "docker.io/library/busybox:latest"
SECRET = "not-for-containers"


@pytest.fixture(scope="module")
def pyctr() -> Iterator[Pyctr]:
    """A daemon with a secret in its environment and a descriptor too many, which it inherits."""
    secret = os.open("/etc/shadow", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        with RunningDaemon(environment={"DAEMON_SECRET": SECRET}) as daemon:
            program = Pyctr(daemon)
            program.load_busybox()
            program.ok("run", "-d", "--name", "lasting", "--network", "none", "busybox", "sleep", "1000")
            yield program
            program.clean()
    finally:
        os.close(secret)


def by_run(pyctr: Pyctr, script: str) -> str:
    return pyctr.ok("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)


def by_exec(pyctr: Pyctr, script: str) -> str:
    return pyctr.ok("exec", "lasting", "sh", "-c", script)


def by_ctr(pyctr: Pyctr, script: str) -> str:
    return pyctr.daemon.ctr("run", "--rm", IMAGE, f"c{os.getpid()}", "sh", "-c", script).stdout.strip()


Way: TypeAlias = "Callable[[Pyctr, str], str]"
WAYS = pytest.mark.parametrize("way", [by_run, by_exec, by_ctr])


@WAYS
def test_no_descriptor_of_ours_is_open(pyctr: Pyctr, way: Way) -> None:
    assert way(pyctr, "cd /proc/self/fd; echo *").split()[:3] == ["0", "1", "2"]
    assert "shadow" not in way(pyctr, "ls -l /proc/self/fd")
    # the shell reads the directory itself: its own descriptor of it is the only other one
    assert len(way(pyctr, "cd /proc/$$/fd; echo *").split()) <= 4


@WAYS
def test_no_environment_of_ours(pyctr: Pyctr, way: Way) -> None:
    names = {line.partition("=")[0] for line in way(pyctr, "env").splitlines()}
    assert names <= {"PATH", "HOME", "HOSTNAME", "PWD", "SHLVL", "TERM", "container"}


@WAYS
def test_nothing_of_the_host_can_be_changed(pyctr: Pyctr, way: Way) -> None:
    paths = ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/irq/default_smp_affinity", "/sys/kernel/x")
    script = "; ".join(f"(echo 1 > {path}) 2>/dev/null && echo wrote {path}" for path in paths)
    assert "wrote" not in way(pyctr, f"{script}; true")
    assert "mounted" not in way(pyctr, "mount -t tmpfs none /tmp 2>/dev/null && echo mounted; true")
    assert way(pyctr, "cat /proc/keys /proc/timer_list /proc/kcore 2>/dev/null | wc -c") == "0"


@WAYS
def test_it_has_the_default_capabilities_and_no_more(pyctr: Pyctr, way: Way) -> None:
    fields = dict(line.split(":\t", 1) for line in way(pyctr, "cat /proc/self/status").splitlines() if ":\t" in line)
    assert {name: fields[name].strip().lstrip("0") for name in ("CapEff", "CapBnd", "CapInh", "CapAmb")} == {
        "CapEff": "a80425fb",
        "CapBnd": "a80425fb",
        "CapInh": "",
        "CapAmb": "",
    }
    if way is by_ctr:  # ctr asks for no filter, and for this
        assert fields["NoNewPrivs"] == "1"
    else:
        assert fields["Seccomp"] == "2"


@WAYS
def test_a_user_gets_no_groups_or_capabilities_of_roots(pyctr: Pyctr, way: Way) -> None:
    if way is by_ctr:
        pytest.skip("Debian's ctr cannot name a user")
    verb = ["run", "--rm", "--network", "none", "-u", "1000", "busybox"]
    words = verb if way is by_run else ["exec", "-u", "1000", "lasting"]
    text = pyctr.ok(*words, "sh", "-c", "id; grep CapEff /proc/self/status")
    assert text.split() == ["uid=1000", "gid=0(root)", "groups=0(root)", "CapEff:", "0" * 16]


@WAYS
def test_it_is_in_a_control_group_of_its_own(pyctr: Pyctr, way: Way) -> None:
    lines = way(pyctr, "cat /proc/self/cgroup").splitlines()
    assert all(line.rpartition(":")[2].count("/") >= 2 for line in lines if ":cpuset:" not in line and ":/" in line)


def modes(directory: Path) -> dict[str, int]:
    """The permissions of everything two levels deep."""
    paths = [*directory.glob("*"), *directory.glob("*/*")]
    return {str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode) for path in paths}


def test_sockets_and_directories_are_roots(pyctr: Pyctr) -> None:
    daemon = pyctr.daemon
    for address in (daemon.address, daemon.ttrpc):
        info = os.stat(address)
        assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o660, 0, 0)
    assert stat.S_IMODE(daemon.root.stat().st_mode) == 0o711
    assert stat.S_IMODE(daemon.state.stat().st_mode) == 0o711
    root = modes(daemon.root)
    for name in ("io.containerd.content.v1.content", "io.containerd.snapshotter.v1.overlayfs", "events"):
        assert root[name] == 0o700, name
    assert all(mode & 0o077 == 0 for name, mode in root.items() if name.startswith("metadata.db"))
    bundles = daemon.state / "io.containerd.runtime.v2.task/default"
    assert {stat.S_IMODE(path.stat().st_mode) for path in bundles.iterdir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (daemon.state / "s").iterdir()} == {0}


def test_what_an_image_says_is_no_order_to_the_daemon(pyctr: Pyctr, tmp_path: Path) -> None:
    """Labels that make the daemon run programs, volumes and directories that lead out: all stays inside."""
    written = tmp_path / "written"
    config = {
        "Cmd": ["sh", "-c", "echo ran >> /data/ran; pwd"],
        "Env": ["PATH=/bin"],
        "WorkingDir": "/../../..",
        "Volumes": {"/data": {}, "/../../outside": {}},
        "Labels": {
            "containerd.io/restart.status": "running",
            "containerd.io/restart.policy": "always",
            "containerd.io/restart.loguri": f"file://{written}",
            "io.containerd.runc.v2.group": "somebody-else",
        },
    }
    archive = tmp_path / "hostile.tar"
    archive.write_bytes(oci_archive({"docker.io/library/hostile:latest": build([busybox_layer()], config=config)}))
    pyctr.ok("load", "-q", "-i", str(archive))
    daemon = pyctr.daemon
    daemon.ctr("run", "-d", "--null-io", "docker.io/library/hostile:latest", "hostile", "true")
    info = daemon.ctr("containers", "info", "hostile").stdout
    assert "containerd.io/restart" not in info
    assert "somebody-else" in info  # a label that nobody obeys is a label
    assert pyctr.ok("run", "--rm", "--network", "none", "hostile") == "/"
    assert pyctr.ok("run", "--rm", "--network", "none", "hostile", "ls", "-d", "/outside") == "/outside"
    assert not written.exists()
    daemon.ctr("task", "rm", "-f", "hostile")
    daemon.ctr("containers", "rm", "hostile")
