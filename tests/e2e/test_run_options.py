"""What ``run`` is asked for is what the container gets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.pyctr import Pyctr

pytestmark = pytest.mark.root

DEFAULT_CAPABILITIES = "00000000a80425fb"


def out(pyctr: Pyctr, *words: str) -> str:
    return pyctr.ok("run", "--rm", *words)


def test_environment_user_and_directory(pyctr: Pyctr) -> None:
    text = out(pyctr, "-e", "A=1", "-w", "/tmp", "-h", "box", "busybox", "sh", "-c", "echo $A $PWD $(hostname) $HOME")
    assert text == "1 /tmp box /root"
    assert (
        out(pyctr, "-u", "www-data", "busybox", "id")
        == "uid=33(www-data) gid=33(www-data) groups=33(www-data),50(staff)"
    )
    assert out(pyctr, "-u", "www-data:staff", "busybox", "id", "-gn") == "staff"
    assert out(pyctr, "-u", "1234:77", "busybox", "id").startswith("uid=1234 gid=77")
    assert "50(staff)" in out(pyctr, "--group-add", "staff", "busybox", "id")
    assert out(pyctr, "-u", "www-data", "busybox", "sh", "-c", "echo $HOME") == "/var/www"


def test_the_default_is_confined(pyctr: Pyctr) -> None:
    status = out(pyctr, "busybox", "cat", "/proc/self/status")
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert fields["CapBnd"].strip() == DEFAULT_CAPABILITIES
    assert fields["CapInh"].strip() == "0000000000000000"
    assert fields["Seccomp"].strip() == "2"
    assert pyctr.run("run", "--rm", "busybox", "mount", "-t", "tmpfs", "x", "/tmp").returncode != 0
    assert pyctr.run("run", "--rm", "busybox", "sh", "-c", "echo 1 > /proc/sys/kernel/panic").returncode != 0
    assert out(pyctr, "busybox", "cat", "/proc/keys") == ""
    assert set(out(pyctr, "busybox", "ls", "/dev").split()) >= {"null", "zero", "random", "pts", "shm", "mqueue"}


def test_privileged_and_capabilities(pyctr: Pyctr) -> None:
    assert out(pyctr, "--privileged", "busybox", "sh", "-c", "mount -t tmpfs x /tmp && echo ok") == "ok"
    assert out(pyctr, "--cap-drop", "ALL", "busybox", "grep", "CapBnd", "/proc/self/status").endswith("0" * 16)
    assert out(
        pyctr, "--cap-drop", "all", "--cap-add", "net_raw", "busybox", "grep", "CapBnd", "/proc/self/status"
    ).endswith("2000")
    unconfined = out(pyctr, "--security-opt", "seccomp=unconfined", "busybox", "grep", "Seccomp:", "/proc/self/status")
    assert unconfined.split() == ["Seccomp:", "0"]
    assert out(
        pyctr, "--security-opt", "no-new-privileges", "busybox", "grep", "NoNewPrivs", "/proc/self/status"
    ).endswith("1")


def test_a_seccomp_profile_of_the_users(pyctr: Pyctr, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}')
    done = pyctr.run("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "mkdir", "/x")
    assert b"Operation not permitted" in done.stderr
    profile.write_text("{")
    assert pyctr.run("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "true").returncode == 125


def test_mounts(pyctr: Pyctr, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("host")
    assert out(pyctr, "-v", f"{tmp_path}:/d", "busybox", "sh", "-c", "cat /d/f; echo new > /d/g") == "host"
    assert (tmp_path / "g").read_text() == "new\n"
    assert pyctr.run("run", "--rm", "-v", f"{tmp_path}:/d:ro", "busybox", "touch", "/d/h").returncode != 0
    assert out(pyctr, "--mount", f"type=bind,src={tmp_path},dst=/d,ro", "busybox", "cat", "/d/f") == "host"
    assert "tmpfs" in out(pyctr, "--tmpfs", "/t:size=1m", "busybox", "grep", " /t ", "/proc/mounts")
    assert "size=1024k" in out(pyctr, "--shm-size", "1m", "busybox", "grep", "/dev/shm", "/proc/mounts")
    assert out(pyctr, "-v", f"{tmp_path}/made:/m", "busybox", "ls", "/m") == ""
    assert (tmp_path / "made").is_dir()
    missing = pyctr.fails(125, "run", "--rm", "--mount", f"type=bind,src={tmp_path}/no,dst=/d", "busybox", "true")
    assert "bind source path does not exist" in missing


def test_volumes_from(pyctr: Pyctr, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("shared")
    pyctr.ok("create", "--name", "data", "-v", f"{tmp_path}:/d", "busybox")
    assert out(pyctr, "--volumes-from", "data", "busybox", "cat", "/d/f") == "shared"
    assert pyctr.run("run", "--rm", "--volumes-from", "data:ro", "busybox", "touch", "/d/g").returncode != 0


def test_read_only(pyctr: Pyctr) -> None:
    done = pyctr.run("run", "--rm", "--read-only", "busybox", "touch", "/x")
    assert b"Read-only file system" in done.stderr
    assert out(pyctr, "--read-only", "--tmpfs", "/t", "busybox", "sh", "-c", "touch /t/x && echo ok") == "ok"


def test_limits_reach_the_kernel(pyctr: Pyctr) -> None:
    cgroup = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    assert out(pyctr, "-m", "64m", "busybox", "sh", "-c", cgroup) == str(64 << 20)
    assert out(pyctr, "--ulimit", "nofile=100:200", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn") == "100\n200"
    assert out(pyctr, "--oom-score-adj", "500", "busybox", "cat", "/proc/self/oom_score_adj") == "500"
    killed = pyctr.run("run", "--rm", "-m", "8m", "busybox", "sh", "-c", "tail /dev/zero; exit $?")
    assert killed.returncode == 137


def test_limits_of_single_devices_reach_the_kernel(pyctr: Pyctr) -> None:
    device = next((f"/dev/{name}" for name in ("sda", "vda", "nvme0n1", "loop0") if Path(f"/dev/{name}").exists()), "")
    if not device:
        pytest.skip("no block device here")
    pyctr.ok("create", "--name", "slow", "--device-write-bps", f"{device}:1mb", "busybox")
    limits = json.loads(pyctr.ok("inspect", "-f", "{{json .HostConfig.BlkioDeviceWriteBps}}", "slow"))
    assert limits == [{"Path": device, "Rate": 1 << 20}]
    number = os.stat(device).st_rdev
    files = "cat /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device 2>/dev/null || cat /sys/fs/cgroup/io.max"
    pyctr.ok("run", "-d", "--name", "slower", "--device-write-bps", f"{device}:1mb", "busybox", "sleep", "1000")
    for _ in range(2):
        assert f"{os.major(number)}:{os.minor(number)} " in pyctr.ok("exec", "slower", "sh", "-c", files)
        pyctr.ok("update", "-m", "64m", "--memory-swap", "64m", "slower")
        pyctr.ok("restart", "-t", "0", "slower")
    said = pyctr.fails(125, "run", "--rm", "--device-read-iops", "/dev/null:9", "busybox", "true")
    assert "no such block device" in said


def test_the_api_socket_in_the_container(pyctr: Pyctr) -> None:
    told = out(
        pyctr, "--use-api-socket", "busybox", "sh", "-c", 'test -S "$CONTAINERD_ADDRESS" && echo $PYCTR_NAMESPACE'
    )
    assert told
    assert "not offered" in pyctr.fails(125, "run", "--rm", "--gpus", "all", "busybox", "true")


def test_namespaces(pyctr: Pyctr) -> None:
    assert out(pyctr, "--network", "none", "busybox", "sh", "-c", "ls /sys/class/net") == "lo"
    assert out(pyctr, "--network", "host", "busybox", "busybox", "readlink", "/proc/self/ns/net") == os.readlink(
        "/proc/self/ns/net"
    )
    assert out(pyctr, "--pid", "host", "busybox", "busybox", "readlink", "/proc/self/ns/pid") == os.readlink(
        "/proc/self/ns/pid"
    )
    pyctr.ok("run", "-d", "--name", "first", "busybox", "sleep", "1000")
    assert "sleep 1000" in out(pyctr, "--pid", "container:first", "busybox", "ps")
    same = pyctr.ok("exec", "first", "busybox", "readlink", "/proc/self/ns/net")
    assert out(pyctr, "--network", "container:first", "busybox", "busybox", "readlink", "/proc/self/ns/net") == same


def test_init_reaps(pyctr: Pyctr) -> None:
    assert "docker-init" in out(pyctr, "--init", "busybox", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '")


def test_managed_files(pyctr: Pyctr) -> None:
    hosts = out(pyctr, "--add-host", "db:10.1.2.3", "busybox", "cat", "/etc/hosts")
    assert "10.1.2.3\tdb" in hosts
    resolv = out(pyctr, "--dns", "1.2.3.4", "busybox", "cat", "/etc/resolv.conf")
    assert [line for line in resolv.splitlines() if not line.startswith("#")] == ["nameserver 1.2.3.4"]
    assert out(pyctr, "-h", "box", "busybox", "cat", "/etc/hostname") == "box"


def test_devices_and_sysctls(pyctr: Pyctr) -> None:
    assert pyctr.run("run", "--rm", "busybox", "ls", "/dev/fuse").returncode == 1
    assert out(pyctr, "--device", "/dev/null:/dev/mine", "busybox", "sh", "-c", "echo x > /dev/mine && echo ok") == "ok"
    assert out(pyctr, "--sysctl", "net.core.somaxconn=77", "busybox", "cat", "/proc/sys/net/core/somaxconn") == "77"
    assert "no such device" in pyctr.fails(125, "run", "--rm", "--device", "/dev/nope", "busybox", "true")


def test_entrypoint_and_cidfile(pyctr: Pyctr, tmp_path: Path) -> None:
    assert out(pyctr, "--entrypoint", "echo", "busybox", "a", "b") == "a b"
    cid = tmp_path / "cid"
    identity = pyctr.ok("create", "--cidfile", str(cid), "busybox")
    assert cid.read_text() == identity
    assert "container ID file found" in pyctr.fails(125, "run", "--cidfile", str(cid), "busybox", "true")


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_runtimes(pyctr: Pyctr, runtime: str) -> None:
    assert out(pyctr, "--runtime", runtime, "busybox", "echo", "hi") == "hi"


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (127, ["busybox", "nosuch"], "not found"),
        (126, ["busybox", "/etc"], ""),
        (126, ["busybox", "/etc/passwd"], ""),
        (125, ["--pull", "never", "nosuch"], "No such image: nosuch"),
        (125, ["Busy Box"], "Busy Box"),
        (125, ["-u", "nobody-knows", "busybox", "true"], "unable to find user nobody-knows"),
        (125, ["-w", "relative", "busybox", "true"], "working directory"),
        (125, ["-v", "vol:x", "busybox", "true"], "mount path must be absolute"),
        (125, ["--cpus", "9999", "busybox", "true"], "--cpus"),
        (125, ["-m", "1m", "busybox", "true"], "least limit"),
        (125, ["--platform", "linux/s390x", "--pull", "never", "busybox", "true"], "linux/s390x"),
    ],
)
def test_failures_leave_nothing_running(pyctr: Pyctr, code: int, words: list[str], message: str) -> None:
    error = pyctr.fails(code, "run", "--rm", *words)
    assert message in error
    assert pyctr.ok("ps", "-aq") == ""
    assert not pyctr.daemon.leftover_mounts()
