"""The default spec is as safe as Docker's, and what is asked for reaches it."""

from __future__ import annotations

from typing import Any

import pytest

from pycontainerd.core import spec
from pycontainerd.core.errors import InvalidArgument

Json = dict[str, Any]
ID = "a" * 64


def build(config: Json | None = None, host_config: Json | None = None, **parts: Any) -> Json:
    given = spec.Parts()
    for name, value in parts.items():
        setattr(given, name, value)
    host = spec.Host("amd64", (6, 1), 4)
    host.cgroup_v2 = False
    host.init = "/usr/bin/tini"
    host.apparmor = "docker-default"
    return spec.build(ID, "default", {"Cmd": ["sh"], **(config or {})}, host_config or {}, host, given)


def mount_at(document: Json, target: str) -> Json:
    (found,) = [mount for mount in document["mounts"] if mount["destination"] == target]
    return found  # type: ignore[no-any-return]


def namespaces(document: Json) -> set[str]:
    return {item["type"] for item in document["linux"]["namespaces"]}


def test_the_default_is_confined() -> None:
    document = build()
    process, linux = document["process"], document["linux"]
    assert process["capabilities"]["bounding"] == process["capabilities"]["effective"]
    assert len(process["capabilities"]["bounding"]) == 14
    assert "inheritable" not in process["capabilities"]
    assert "ambient" not in process["capabilities"]
    assert namespaces(document) == {"mount", "pid", "ipc", "uts", "network"}
    assert "/proc/kcore" in linux["maskedPaths"]
    assert "/proc/sys" in linux["readonlyPaths"]
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert process["apparmorProfile"] == "docker-default"
    assert "ro" in mount_at(document, "/sys")["options"]
    assert "ro" in mount_at(document, "/sys/fs/cgroup")["options"]
    assert "size=67108864" in mount_at(document, "/dev/shm")["options"]
    assert "rlimits" not in process
    assert document["root"] == {"path": "rootfs", "readonly": False}
    assert linux["cgroupsPath"] == f"/pycontainerd/default/{ID}"
    assert document["hostname"] == ID[:12]


def test_privileged_lifts_it_all() -> None:
    document = build(host_config={"Privileged": True})
    assert "maskedPaths" not in document["linux"]
    assert "seccomp" not in document["linux"]
    assert "CAP_SYS_ADMIN" in document["process"]["capabilities"]["bounding"]
    assert document["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "apparmorProfile" not in document["process"]
    assert "rw" in mount_at(document, "/sys")["options"]


def test_security_options() -> None:
    document = build(host_config={"SecurityOpt": ["no-new-privileges", "seccomp=unconfined", "apparmor=unconfined"]})
    assert document["process"]["noNewPrivileges"] is True
    assert "seccomp" not in document["linux"]
    assert "apparmorProfile" not in document["process"]
    assert "maskedPaths" not in build(host_config={"SecurityOpt": ["systempaths=unconfined"]})["linux"]
    own = {"defaultAction": "SCMP_ACT_ALLOW"}
    document = build(host_config={"SecurityOpt": ["seccomp={}"]}, seccomp=own)
    assert document["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW"
    with pytest.raises(InvalidArgument, match="no-such"):
        build(host_config={"SecurityOpt": ["no-such=1"]})


def test_namespaces_of_the_host_and_of_others() -> None:
    document = build(host_config={"NetworkMode": "host", "PidMode": "host", "UTSMode": "host"})
    assert namespaces(document) == {"mount", "ipc"}
    assert "hostname" not in document, "it would rename the host"
    assert document["linux"]["sysctl"] == {}
    document = build(host_config={"PidMode": "container:x"}, joins={"pid": "/proc/7/ns/pid"})
    assert {"type": "pid", "path": "/proc/7/ns/pid"} in document["linux"]["namespaces"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"uid": 0, "gid": 0, "username": "0"}),
        ("1000:100", {"uid": 1000, "gid": 100, "additionalGids": [100]}),
        ("1000", {"uid": 0, "gid": 0, "username": "1000"}),
        ("app", {"uid": 0, "gid": 0, "username": "app"}),
        ("app:staff", {"uid": 0, "gid": 0, "username": "app:staff"}),
    ],
)
def test_users_are_left_to_the_shim_unless_they_are_numbers(text: str, expected: Json) -> None:
    assert spec.user(text) == expected


@pytest.mark.parametrize("text", [":staff", "app:", "99999999999:1"])
def test_what_is_no_user(text: str) -> None:
    with pytest.raises(InvalidArgument):
        spec.user(text)


def test_further_groups_are_resolved_where_names_can_be() -> None:
    document = build({"User": "1:1"}, {"GroupAdd": ["audio", "27"]})
    assert document["annotations"][spec.GROUP_ADD] == "audio,27"
    assert document["process"]["user"]["username"] == "1:1"


def test_environment_terminal_and_directory() -> None:
    process = build({"Tty": True, "Env": ["A=1", "PATH=/x"], "WorkingDir": "/srv", "Hostname": "h"})["process"]
    assert process["terminal"] is True
    assert process["env"] == ["HOSTNAME=h", "TERM=xterm", "A=1", "PATH=/x"]
    assert process["cwd"] == "/srv"
    with pytest.raises(InvalidArgument):
        build({"WorkingDir": "srv"})


def test_no_command_is_a_clear_error() -> None:
    with pytest.raises(InvalidArgument, match="no command specified"):
        build({"Cmd": None})


def test_init_runs_the_command_under_the_hosts_init() -> None:
    document = build(host_config={"Init": True})
    assert document["process"]["args"] == ["/sbin/docker-init", "--", "sh"]
    assert mount_at(document, "/sbin/docker-init")["source"] == "/usr/bin/tini"


def test_limits() -> None:
    limits = {"Memory": 64 << 20, "NanoCpus": 1_500_000_000, "PidsLimit": 10, "CpuShares": 512, "OomScoreAdj": 100}
    document = build(host_config={**limits, "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": -1}]})
    resources = document["linux"]["resources"]
    assert resources["memory"] == {"limit": 64 << 20, "swap": 128 << 20}
    assert resources["cpu"] == {"period": 100000, "quota": 150000, "shares": 512}
    assert resources["pids"] == {"limit": 10}
    assert document["process"]["oomScoreAdj"] == 100
    assert document["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 0xFFFFFFFFFFFFFFFF}]


@pytest.mark.parametrize(
    "limits",
    [
        {"Memory": 1 << 20},
        {"Memory": 64 << 20, "MemorySwap": 32 << 20},
        {"MemorySwap": 32 << 20},
        {"Memory": 8 << 20, "MemoryReservation": 9 << 20},
        {"NanoCpus": 5 * 10**9},
        {"NanoCpus": 10**9, "CpuQuota": 1000},
        {"MemorySwappiness": 101},
        {"BlkioWeight": 5},
        {"OomScoreAdj": 2000},
    ],
)
def test_limits_that_make_no_sense(limits: Json) -> None:
    with pytest.raises(InvalidArgument):
        build(host_config=limits)


def test_limits_of_single_devices_join_the_others() -> None:
    limits = {"BlkioWeight": 300, "BlkioDeviceWriteBps": [{"Path": "/dev/sda", "Rate": 4096}]}
    document = build(host_config=limits, block_numbers={"/dev/sda": (8, 0)})
    assert document["linux"]["resources"]["blockIO"] == {
        "weight": 300,
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 4096}],
    }


def test_sysctls_belong_to_namespaces() -> None:
    assert build(host_config={"Sysctls": {"net.core.somaxconn": "9"}})["linux"]["sysctl"]["net.core.somaxconn"] == "9"
    for settings in ({"kernel.panic": "1"}, {"vm.swappiness": "1"}):
        with pytest.raises(InvalidArgument):
            build(host_config={"Sysctls": settings})
    with pytest.raises(InvalidArgument):
        build(host_config={"NetworkMode": "host", "Sysctls": {"net.core.somaxconn": "9"}})


def test_an_exec_inherits_and_changes() -> None:
    process = build({"Env": ["A=1", "HOME=/root"]})["process"]
    made = spec.exec_process(process, ["env"], {"Env": ["A=2", "B=3"], "User": "app", "Tty": True, "WorkingDir": "/x"})
    assert made["args"] == ["env"]
    assert made["cwd"] == "/x"
    assert made["env"][-3:] == ["TERM=xterm", "A=2", "B=3"]
    assert "HOME=/root" not in made["env"], "another user has another home"
    assert made["user"]["username"] == "app"
    assert made["capabilities"] == process["capabilities"]
    privileged = spec.exec_process(process, ["env"], {"Privileged": True})
    assert "CAP_SYS_ADMIN" in privileged["capabilities"]["effective"]
    assert process["args"] == ["sh"], "the container's own is not touched"
