"""Mounts that every container has, how those a user asked for go among them, and the paths that are hidden."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Json = dict[str, Any]

MASKED = tuple(
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi "
    "/proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware".split()
)
"""Paths that tell more about the host than a container should know."""
READ_ONLY = tuple("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split())
SHM_SIZE = 64 << 20
"""Default size of /dev/shm, in bytes."""


def standard(*, privileged: bool, cgroup_v2: bool, shm_size: int, shm_path: str = "") -> list[Json]:
    """The mounts every container has. ``shm_path`` is another's /dev/shm to share, instead of one of its own."""
    access = "rw" if privileged else "ro"
    hardened = ["nosuid", "noexec", "nodev"]
    shm = (
        _mount("bind", shm_path, "/dev/shm", ["rbind", "rprivate"])
        if shm_path
        else _mount("tmpfs", "shm", "/dev/shm", [*hardened, "mode=1777", f"size={shm_size}"])
    )
    cgroup = ["ro" if access == "ro" else "rw", *hardened]
    return [
        _mount("proc", "proc", "/proc", hardened),
        _mount("tmpfs", "tmpfs", "/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "devpts", "devpts", "/dev/pts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        _mount("sysfs", "sysfs", "/sys", [*hardened, access]),
        _mount("cgroup", "cgroup", "/sys/fs/cgroup", cgroup if cgroup_v2 else [*cgroup, "relatime"]),
        _mount("mqueue", "mqueue", "/dev/mqueue", hardened),
        shm,
    ]


def _mount(kind: str, source: str, target: str, options: Sequence[str]) -> Json:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def with_asked_for(base: Sequence[Json], asked: Sequence[Json]) -> list[Json]:
    """The mounts of a spec with those a user asked for in their places, as Docker orders them.

    What is asked for replaces what ``base`` has at the same target, and with `/dev` all that is below it. Then come the
    kernel's own filesystems, then bind mounts (managed files too) and what was asked for, parents before children: a
    volume on `/etc` does not hide `/etc/hosts`.
    """
    taken = {mount["destination"] for mount in asked}
    kept = [
        mount
        for mount in base
        if mount.get("destination") not in taken
        and not ("/dev" in taken and str(mount.get("destination")).startswith("/dev/"))
    ]
    system = [mount for mount in kept if mount.get("type") != "bind"]
    binds = [mount for mount in kept if mount.get("type") == "bind"]
    return system + sorted([*binds, *asked], key=lambda mount: str(mount.get("destination")).count("/"))
