"""Files of containers: what can be asked of a root filesystem from outside, without ever leaving it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pycontainerd.core.values import Mount


class ChangeKind(enum.IntEnum):
    """What became of a path since the container was made, in the order of Docker's API."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True)
class Bind:
    """A directory or file of the host seen inside a container: ``target`` is a path of the container's."""

    source: str
    target: str
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """Where a container's files are seen: through ``root``, a path that opens its root directory as it runs, or, when
    that is empty, by mounting ``mounts`` and ``binds`` somewhere nobody else looks."""

    root: str = ""
    mounts: tuple[Mount, ...] = ()
    binds: tuple[Bind, ...] = ()


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One path: ``mode`` with the type, ``mtime`` in nanoseconds since 1970, ``link`` the target of a symbolic link."""

    mode: int
    size: int
    mtime: int
    link: bytes = b""


class ContainerFiles(Protocol):
    """Files behind a ``View``. Paths are bytes and the container's own; all calls block."""

    def stat(self, view: View, path: bytes, *, follow: bool) -> FileInfo:
        """Look at one path. Raises NotFound."""

    def pack(self, view: View, path: bytes, out: int, *, follow: bool = False) -> None:
        """A tar of a file or directory to the descriptor ``out``. Raises NotFound."""

    def unpack(self, view: View, path: bytes, source: int) -> None:
        """A tar from the descriptor ``source`` into a directory. Raises NotFound, InvalidArgument."""

    def changes(
        self, lower: Sequence[Mount], upper: Sequence[Mount], hidden: Sequence[str] = ()
    ) -> list[tuple[bytes, ChangeKind]]:
        """What ``upper`` has that ``lower`` has not, and the other way round; parents before what is in them. Paths in
        ``hidden`` do not count as added: they were made to mount on."""


_SKIPPED = {"proc", "sysfs", "cgroup", "cgroup2", "tmpfs", "devpts", "mqueue"}


def binds_of(spec: Mapping[str, Any]) -> tuple[Bind, ...]:
    """The bind mounts of an OCI spec, the outer ones first."""
    found = []
    for mount in _objects(spec.get("mounts")):
        options = mount.get("options") or ()
        if mount.get("type") in _SKIPPED or not ({"bind", "rbind"} & set(options) or mount.get("type") == "bind"):
            continue
        source, target = mount.get("source"), mount.get("destination")
        if isinstance(source, str) and isinstance(target, str) and source.startswith("/"):
            found.append(Bind(source, target, "ro" in options))
    return tuple(sorted(found, key=lambda bind: bind.target.count("/")))


def binds_of_entries(entries: Sequence[Mapping[str, Any]], mountpoint: Callable[[str], str]) -> tuple[Bind, ...]:
    """Bind mounts and volumes among a container's mount entries (``core.mountentries``), the outer ones first;
    ``mountpoint`` tells where a volume is, "" for one that is gone.
    """
    found = []
    for entry in entries:
        source = str(entry.get("source") or "") if entry.get("type") == "bind" else ""
        if entry.get("type") == "volume" and entry.get("volume"):
            source = mountpoint(str(entry["volume"]))
            source += "/" + str(entry["subpath"]) if source and entry.get("subpath") else ""
        if source.startswith("/"):
            found.append(Bind(source, str(entry.get("target")), bool(entry.get("readonly"))))
    return tuple(sorted(found, key=lambda bind: bind.target.count("/")))


def mount_points(spec: Mapping[str, Any]) -> list[str]:
    """Where an OCI spec mounts something, and the directories above, which a runtime makes where they are missing."""
    found: set[str] = set()
    for mount in _objects(spec.get("mounts")):
        path = str(mount.get("destination") or "").rstrip("/")
        while path:
            found.add(path)
            path = path.rpartition("/")[0]
    return sorted(found)


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
