"""Mounts of a container: the standard ones, ``-v``, ``--mount`` and ``--tmpfs``, and the paths that are hidden.

``-v`` and ``--mount`` come as Docker's ``HostConfig`` keeps them (``Binds``, ``Mounts``, ``Tmpfs``); what leaves is the
``mounts`` of the OCI spec. Pure: whether a path exists on the host is the caller's question.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.units import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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

_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_IGNORED = ("nocopy", "consistent", "cached", "delegated", "z", "Z", "rbind", "bind", "rw")
"""Bind options without an effect here: relabelling is for SELinux hosts, consistency for Docker Desktop."""


class Bind:
    """One ``-v`` value in its parts. ``source`` is empty for an anonymous volume, a bare name for a named one."""

    __slots__ = ("propagation", "read_only", "source", "target")

    def __init__(self, source: str, target: str, *, read_only: bool = False, propagation: str = "rprivate") -> None:
        self.source, self.target = source, target
        self.read_only, self.propagation = read_only, propagation


def parse_bind(text: str) -> Bind:
    """``[source:]target[:options]``; raises InvalidArgument naming the value and what is wrong with it."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidArgument("-v", text, "give source:target or source:target:ro")
    if len(parts) == 1:
        return Bind("", _absolute(parts[0], "-v", text))
    bind = Bind(parts[0], _absolute(parts[1], "-v", text))
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option in ("ro", "readonly"):
            bind.read_only = True
        elif option in _PROPAGATIONS:
            bind.propagation = option
        elif option not in _IGNORED:
            raise InvalidArgument("-v", text, f"there is no option {option}; there are ro, rw, z, Z and rshared, …")
    return bind


def _absolute(path: str, flag: str, text: str) -> str:
    clean = clean_path(path)
    if not path.startswith("/"):
        raise InvalidArgument(flag, text, "the path in the container must be absolute")
    if clean == "/":
        raise InvalidArgument(flag, text, "the path in the container must not be /")
    return clean


def clean_path(path: str) -> str:
    """``path`` without ``.``, ``..``, doubled and trailing slashes; what stands above the root is the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts)


_MOUNT_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


def parse_mount(text: str) -> Json:
    """``type=bind,source=/a,target=/b,readonly`` as an entry of ``HostConfig.Mounts``. Raises InvalidArgument."""
    values: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = item.strip().partition("=")
        values[_MOUNT_KEYS.get(key.lower(), key.lower())] = value if equals else "true"
    kind = values.pop("type", "volume")
    mount: Json = {"Type": kind, "Target": _absolute(values.pop("target", ""), "--mount", text)}
    source = values.pop("source", "")
    if source:
        mount["Source"] = source
    read_only = values.pop("readonly", "")
    if read_only:
        mount["ReadOnly"] = _truth(read_only, text)
    if kind == "bind":
        _bind_options(mount, values, text)
    elif kind == "tmpfs":
        _tmpfs_options(mount, values, text)
    else:
        raise InvalidArgument("--mount", text, f"type {kind} is not offered; there are bind and tmpfs")
    if values:
        raise InvalidArgument("--mount", text, f"type {kind} has no option {next(iter(values))}")
    return mount


def _truth(value: str, text: str) -> bool:
    lowered = value.lower()
    if lowered not in ("true", "1", "false", "0"):
        raise InvalidArgument("--mount", text, "readonly is true or false")
    return lowered in ("true", "1")


def _bind_options(mount: Json, values: dict[str, str], text: str) -> None:
    values.pop("consistency", None)
    values.pop("bind-recursive", None)
    if not mount.get("Source", "").startswith("/"):
        raise InvalidArgument("--mount", text, "a bind needs source=/absolute/path")
    propagation = values.pop("bind-propagation", "rprivate")
    if propagation not in _PROPAGATIONS:
        raise InvalidArgument("--mount", text, f"bind-propagation is one of {', '.join(_PROPAGATIONS)}")
    mount["BindOptions"] = {"Propagation": propagation}


def _tmpfs_options(mount: Json, values: dict[str, str], text: str) -> None:
    if mount.pop("Source", ""):
        raise InvalidArgument("--mount", text, "a tmpfs has no source")
    options: Json = {}
    if "tmpfs-size" in values:
        options["SizeBytes"] = parse_bytes(values.pop("tmpfs-size"))
    if "tmpfs-mode" in values:
        try:
            options["Mode"] = int(values.pop("tmpfs-mode"), 8)
        except ValueError as error:
            raise InvalidArgument("--mount", text, "tmpfs-mode is octal, such as 1777") from error
    mount["TmpfsOptions"] = options


def parse_tmpfs(text: str) -> tuple[str, str]:
    """``/run:size=64m,mode=755`` as target and options. Raises InvalidArgument."""
    target, _, options = text.partition(":")
    return _absolute(target, "--tmpfs", text), options


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


def asked_for(host_config: Json) -> list[Json]:
    """The mounts of ``Binds``, ``Mounts`` and ``Tmpfs``, two of which must not share a target (InvalidArgument)."""
    result = [*_from_binds(host_config), *_from_mounts(host_config), *_from_tmpfs(host_config)]
    targets = [mount["destination"] for mount in result]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument("mount point", target, "it is given more than once")
    return result


def _from_binds(host_config: Json) -> Iterable[Json]:
    for text in host_config.get("Binds") or ():
        bind = parse_bind(text)
        options = ["rbind", bind.propagation, "ro" if bind.read_only else "rw"]
        yield _mount("bind", bind.source, bind.target, options)


def _from_mounts(host_config: Json) -> Iterable[Json]:
    for mount in host_config.get("Mounts") or ():
        access = "ro" if mount.get("ReadOnly") else "rw"
        if mount["Type"] == "bind":
            propagation = (mount.get("BindOptions") or {}).get("Propagation") or "rprivate"
            yield _mount("bind", mount["Source"], mount["Target"], ["rbind", propagation, access])
        else:
            extra = mount.get("TmpfsOptions") or {}
            options = ["noexec", "nosuid", "nodev", access]
            if extra.get("SizeBytes"):
                options.append(f"size={extra['SizeBytes']}")
            if extra.get("Mode"):
                options.append(f"mode={extra['Mode']:o}")
            yield _mount("tmpfs", "tmpfs", mount["Target"], options)


def _from_tmpfs(host_config: Json) -> Iterable[Json]:
    for target, text in (host_config.get("Tmpfs") or {}).items():
        given = [option for option in text.split(",") if option]
        defaults = [option for option in ("noexec", "nosuid", "nodev") if option.removeprefix("no") not in given]
        yield _mount("tmpfs", "tmpfs", target, [*(option for option in defaults if option not in given), *given])


def merged(base: Sequence[Json], extra: Sequence[Json]) -> list[Json]:
    """``base`` with ``extra`` in place of what has the same target or lies under it, parents before children."""
    taken = [mount["destination"] for mount in extra]
    kept = [mount for mount in base if not any(_within(mount["destination"], target) for target in taken)]
    return kept + sorted(extra, key=lambda mount: mount["destination"].count("/"))


def _within(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent + "/")


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
