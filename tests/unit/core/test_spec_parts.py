"""Capabilities, seccomp, mounts, devices and limits one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import mountentries, spec_capabilities, spec_devices, spec_mounts, spec_resources, spec_seccomp
from pycontainerd.core.errors import InvalidArgument

# -- capabilities --


def test_the_default_set_is_dockers() -> None:
    assert set(spec_capabilities.granted()) == set(spec_capabilities.DEFAULT)


def test_add_and_drop() -> None:
    granted = spec_capabilities.granted
    assert "CAP_NET_ADMIN" in granted(["net_admin"])
    assert "CAP_CHOWN" not in granted([], ["CAP_CHOWN"])
    assert granted(["NET_RAW"], ["all"]) == ["CAP_NET_RAW"]
    assert set(granted(["ALL"], ["MKNOD"])) == set(spec_capabilities.ALL) - {"CAP_MKNOD"}
    assert granted(privileged=True, available=["CAP_CHOWN"]) == ["CAP_CHOWN"]


def test_unknown_and_unavailable_capabilities_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="NO_SUCH"):
        spec_capabilities.granted(["NO_SUCH"])
    with pytest.raises(InvalidArgument, match="CAP_BPF"):
        spec_capabilities.granted(["BPF"], available=["CAP_CHOWN"])


@given(st.integers(min_value=0, max_value=(1 << 41) - 1))
def test_masks(mask: int) -> None:
    names = spec_capabilities.from_mask(mask)
    assert sum(1 << spec_capabilities.ALL.index(name) for name in names) == mask


# -- seccomp --


def resolved(capabilities: tuple[str, ...] = (), architecture: str = "amd64") -> dict[str, list[dict[str, object]]]:
    profile = spec_seccomp.resolve(
        spec_seccomp.default_profile(), architecture=architecture, capabilities=capabilities, kernel=(6, 1)
    )
    assert profile["defaultErrnoRet"] == 1
    rules: dict[str, list[dict[str, object]]] = {}
    for rule in profile["syscalls"]:
        for name in rule["names"]:
            rules.setdefault(name, []).append(rule)
    return rules


def test_the_default_profile_denies_what_must_be_denied() -> None:
    rules = resolved()
    for name in ("mount", "setns", "unshare", "bpf", "keyctl", "add_key", "reboot", "io_uring_setup", "userfaultfd"):
        assert name not in rules
    assert {"read", "execve", "openat2", "ptrace", "futex_wait"} <= rules.keys()
    assert rules["clone3"][0]["errnoRet"] == spec_seccomp.ENOSYS
    (clone,) = rules["clone"]
    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}]
    families = [rule["args"] for rule in rules["socket"]]
    assert not any(arg["value"] in (38, 40) for args in families for arg in args)  # type: ignore[attr-defined]


def test_capabilities_open_calls() -> None:
    rules = resolved(("CAP_SYS_ADMIN", "CAP_SYS_BOOT"))
    assert {"mount", "setns", "unshare", "reboot"} <= rules.keys()
    assert not any(rule.get("args") for rule in rules["clone"])
    assert all(rule["action"] == "SCMP_ACT_ALLOW" for rule in rules["clone3"])


def test_architectures() -> None:
    assert "arch_prctl" in resolved()
    assert "arch_prctl" not in resolved(architecture="arm64")
    assert resolved(architecture="s390x")["clone"][0]["args"][0]["index"] == 1  # type: ignore[index]
    profile = spec_seccomp.resolve(spec_seccomp.default_profile(), architecture="arm64", capabilities=(), kernel=(6, 1))
    assert profile["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]


def test_old_kernels_do_not_get_ptrace() -> None:
    profile = spec_seccomp.resolve(spec_seccomp.default_profile(), architecture="amd64", capabilities=(), kernel=(4, 4))
    assert not any("ptrace" in rule["names"] for rule in profile["syscalls"])


@pytest.mark.skipif(not Path("/usr/share/containers/seccomp.json").exists(), reason="podman's profile is not here")
def test_nearly_everything_that_podman_allows_is_allowed_too() -> None:
    """Held against Debian's copy of another project's profile, which this test resolves with the same code."""
    theirs = json.loads(Path("/usr/share/containers/seccomp.json").read_text())
    other = spec_seccomp.resolve(theirs, architecture="amd64", capabilities=spec_capabilities.DEFAULT, kernel=(6, 1))
    allowed = {name for rule in other["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    missing = allowed - resolved(tuple(spec_capabilities.DEFAULT)).keys()
    # What podman gives to every container and Docker does not.
    mounts = {"fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree"}
    others = {"keyctl", "pidfd_getfd", "setns", "unshare", "umount", "umount2", "userfaultfd", "vm86", "vm86old"}
    legacy = {"_sysctl", "get_mempolicy", "idle", "ipc", "nfsservctl", "olduname", "oldolduname", "signal"}
    assert missing - mounts - others - legacy <= allowed
    assert len(missing) < 60


@pytest.mark.parametrize(
    "profile", [{}, {"defaultAction": "X", "syscalls": [{"action": "Y"}]}, {"defaultAction": "X", "syscalls": ["z"]}]
)
def test_what_is_no_profile(profile: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        spec_seccomp.resolve(profile, architecture="amd64", capabilities=(), kernel=(6, 1))


# -- mounts --


def test_what_is_asked_for_takes_its_place_among_the_standard_mounts() -> None:
    base = spec_mounts.standard(privileged=False, cgroup_v2=True, shm_size=1, shm_path="")
    managed = {"destination": "/etc/hosts", "type": "bind", "source": "/managed", "options": []}
    asked: list[dict[str, Any]] = [
        {"destination": path, "type": "bind", "source": "/s", "options": []} for path in ("/srv/x", "/etc", "/srv")
    ]

    together = spec_mounts.with_asked_for([*base, managed], asked)

    targets = [mount["destination"] for mount in together]
    assert targets[: len(base)] == [mount["destination"] for mount in base]
    assert targets.index("/srv") < targets.index("/srv/x")
    assert targets.index("/etc") < targets.index("/etc/hosts")  # Docker's managed files stay visible


def test_what_is_asked_for_at_dev_or_a_managed_file_replaces_it() -> None:
    base = spec_mounts.standard(privileged=False, cgroup_v2=True, shm_size=1, shm_path="")
    managed = {"destination": "/etc/hosts", "type": "bind", "source": "/managed", "options": []}
    asked: list[dict[str, Any]] = [
        {"destination": path, "type": "bind", "source": "/mine", "options": []} for path in ("/dev", "/etc/hosts")
    ]

    together = spec_mounts.with_asked_for([*base, managed], asked)

    assert "/dev/pts" not in [mount["destination"] for mount in together]
    assert [mount["source"] for mount in together if mount["destination"] in {"/dev", "/etc/hosts"}] == ["/mine"] * 2


@given(st.text(alphabet="/.ab", max_size=20))
def test_a_clean_path_never_leaves_the_root(path: str) -> None:
    clean = mountentries.clean_path("/" + path)
    assert clean.startswith("/")
    assert not {"..", "."} & set(clean.split("/"))
    assert mountentries.clean_path(clean) == clean


# -- devices and limits --


def test_devices() -> None:
    assert spec_devices.parse_device("/dev/fuse") == {
        "PathOnHost": "/dev/fuse",
        "PathInContainer": "/dev/fuse",
        "CgroupPermissions": "rwm",
    }
    assert spec_devices.parse_device("/dev/a:/dev/b:r")["PathInContainer"] == "/dev/b"
    assert spec_devices.parse_device("/dev/a:rw")["CgroupPermissions"] == "rw"
    for bad in ("fuse", "/dev/a:x", "/dev/a:/dev/b:rx", "/dev/a:/b:r:z", ""):
        with pytest.raises(InvalidArgument):
            spec_devices.parse_device(bad)
    assert spec_devices.parse_rule("c 189:* rmw") == {"allow": True, "type": "c", "access": "rmw", "major": 189}
    for bad in ("c 1", "x 1:2 r", "c a:b r", "c 1:2 q"):
        with pytest.raises(InvalidArgument):
            spec_devices.parse_rule(bad)


def test_a_given_device_may_be_opened_and_is_there() -> None:
    device = spec_devices.Device("/dev/fuse", "c", 10, 229, mode=0o666, owner=(0, 0))
    rules = spec_devices.cgroup_rules([device])
    assert rules[-1] == {"allow": True, "type": "c", "access": "rwm", "major": 10, "minor": 229}
    assert spec_devices.nodes([device])[0]["fileMode"] == 0o666


def test_ulimits() -> None:
    assert spec_resources.parse_ulimit("nofile=1024:2048") == {"Name": "nofile", "Soft": 1024, "Hard": 2048}
    assert spec_resources.parse_ulimit("core=-1") == {"Name": "core", "Soft": -1, "Hard": -1}
    for bad in ("nofile", "nofile=x", "what=1", "nofile=2:1", "nofile=-1:5"):
        with pytest.raises(InvalidArgument):
            spec_resources.parse_ulimit(bad)


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (spec_resources.parse_weight_device, "/dev/sda:200", {"Path": "/dev/sda", "Weight": 200}),
        (spec_resources.parse_weight_device, "/dev/sda:0", {"Path": "/dev/sda", "Weight": 0}),
        (spec_resources.parse_throttle_bytes, "/dev/sda:1mb", {"Path": "/dev/sda", "Rate": 1 << 20}),
        (spec_resources.parse_throttle_bytes, "/dev/mapper/x:100", {"Path": "/dev/mapper/x", "Rate": 100}),
        (spec_resources.parse_throttle_count, "/dev/sda:1000", {"Path": "/dev/sda", "Rate": 1000}),
    ],
)
def test_limits_of_single_devices(parse: Any, text: str, expected: dict[str, Any]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "text", "cause"),
    [
        (spec_resources.parse_weight_device, "/dev/sda", "bad format: /dev/sda"),
        (spec_resources.parse_weight_device, "sda:200", "bad format for device path: sda:200"),
        (spec_resources.parse_weight_device, "/dev/sda:5", "invalid weight for device: /dev/sda:5"),
        (spec_resources.parse_weight_device, "/dev/sda:1001", "invalid weight for device: /dev/sda:1001"),
        (spec_resources.parse_weight_device, "/dev/sda:", "invalid weight for device: /dev/sda:"),
        (spec_resources.parse_throttle_bytes, "/dev/sda:-1", "invalid rate for device: /dev/sda:-1"),
        (spec_resources.parse_throttle_bytes, "/dev/sda:1x", "invalid rate for device: /dev/sda:1x"),
        (spec_resources.parse_throttle_count, "/dev/sda:1mb", "invalid rate for device: /dev/sda:1mb"),
        (spec_resources.parse_throttle_count, "1000", "bad format: 1000"),
    ],
)
def test_wrong_limits_of_single_devices(parse: Any, text: str, cause: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert caught.value.what == cause


def test_limits_of_single_devices_in_the_spec() -> None:
    host_config = {
        "BlkioWeightDevice": [{"Path": "/dev/a", "Weight": 200}],
        "BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1024}, {"Path": "/dev/b", "Rate": 2048}],
        "BlkioDeviceWriteIOps": [{"Path": "/dev/b", "Rate": 9}],
    }
    assert list(spec_resources.block_paths(host_config)) == ["/dev/a", "/dev/a", "/dev/b", "/dev/b"]
    assert spec_resources.block_devices(host_config, {"/dev/a": (8, 0), "/dev/b": (7, 1)}) == {
        "weightDevice": [{"major": 8, "minor": 0, "weight": 200}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}, {"major": 7, "minor": 1, "rate": 2048}],
        "throttleWriteIOPSDevice": [{"major": 7, "minor": 1, "rate": 9}],
    }
    assert spec_resources.block_devices({}, {}) == {}
