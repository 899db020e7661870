"""Facts about this host that a container's spec depends on, read from /proc, /sys and /dev."""

from __future__ import annotations

import os
import stat

from pycontainerd.client.images import host_architecture
from pycontainerd.core import spec_capabilities
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.spec import Host
from pycontainerd.core.spec_devices import Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    Json = dict[str, Any]

_APPARMOR = "/sys/kernel/security/apparmor/profiles"
_PROFILES = ("pycontainerd-default", "docker-default", "containers-default")
"""AppArmor profiles to use when one of them is loaded, the best first."""
_INITS = ("catatonit", "docker-init", "tini")
_PLACES = ("/usr/libexec/podman", "/usr/libexec/docker", "/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin")


def look(*, init: bool = False) -> Host:
    """The facts; with ``init`` also where the program for ``--init`` is."""
    uname = os.uname()
    host = Host(host_architecture(), _kernel(uname.release), os.cpu_count() or 1)
    status = _read("/proc/self/status")
    host.capabilities = spec_capabilities.from_mask(int(_field(status, "CapBnd") or "0", 16))
    host.seccomp = bool(_field(status, "Seccomp"))
    host.cgroup_v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    host.swap_accounting = host.cgroup_v2 or os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
    host.apparmor = _apparmor()
    host.hostname = uname.nodename
    host.thermal_throttle = os.path.exists("/sys/devices/system/cpu/cpu0/thermal_throttle")
    if init:
        host.init = _init_program()
    return host


def _kernel(release: str) -> tuple[int, int]:
    major, _, rest = release.partition(".")
    minor = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return int(major), int(minor or 0)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _field(status: str, name: str) -> str:
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""


def _apparmor() -> str:
    loaded = _read(_APPARMOR)
    names = [line.partition(" ")[0] for line in loaded.splitlines()]
    return next((name for name in _PROFILES if name in names), "")


def _init_program() -> str:
    for name in _INITS:
        for place in _PLACES:
            path = f"{place}/{name}"
            if os.access(path, os.X_OK):
                return path
    return ""


def devices(host_config: Json) -> list[Device]:
    """The nodes for ``--device``, or all of the host's when privileged. Raises InvalidArgument for what is none."""
    if host_config.get("Privileged"):
        return list(_nodes_below("/dev", "/dev"))
    result: list[Device] = []
    for entry in host_config.get("Devices") or ():
        found = _resolve(entry)
        for device in found:
            device.access = entry["CgroupPermissions"]
        result += found
    return result


def block_numbers(paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Major and minor numbers of block devices, by path. Raises InvalidArgument for what is none."""
    result: dict[str, tuple[int, int]] = {}
    for path in paths:
        node = _node(os.path.realpath(path), path)
        if node is None or node.kind != "b":
            raise InvalidArgument("block device", path, "there is no such block device on the host, see lsblk")
        result[path] = node.major, node.minor
    return result


def _resolve(entry: Json) -> Sequence[Device]:
    path = os.path.realpath(entry["PathOnHost"])
    if os.path.isdir(path):
        found = list(_nodes_below(path, entry["PathInContainer"]))
    else:
        node = _node(path, entry["PathInContainer"])
        found = [node] if node is not None else []
    if not found:
        raise InvalidArgument("--device", entry["PathOnHost"], "there is no such device on the host")
    return found


def _node(path: str, target: str) -> Device | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if not (stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        return None
    kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
    numbers = os.major(status.st_rdev), os.minor(status.st_rdev)
    owner = status.st_uid, status.st_gid
    return Device(target, kind, *numbers, mode=stat.S_IMODE(status.st_mode), owner=owner)


_SKIPPED = ("pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev")
"""Entries of /dev that every container has of its own, or that are no devices."""


def _nodes_below(path: str, target: str) -> Iterator[Device]:
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name in _SKIPPED or entry.is_symlink():
                continue
            if entry.is_dir():
                yield from _nodes_below(entry.path, f"{target}/{entry.name}")
                continue
            node = _node(entry.path, f"{target}/{entry.name}")
            if node is not None:
                yield node
