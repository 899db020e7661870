"""Mount option strings (mount(8), fstab(5)) taken apart into what mount(2) wants.

One option is one string of the list; it is a flag, a propagation type, something this package handles itself (`loop`,
`uidmap=`, `gidmap=`), a remark for other programs (`X-…`, dropped), or data for the filesystem.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    class MountLike(Protocol):
        """A mount as the API carries it; `core.values.Mount` and the wire's Mount both fit."""

        @property
        def type(self) -> str: ...
        @property
        def source(self) -> str: ...
        @property
        def target(self) -> str: ...
        @property
        def options(self) -> Sequence[str]: ...


MS_RDONLY = 1
MS_NOSUID = 1 << 1
MS_NODEV = 1 << 2
MS_NOEXEC = 1 << 3
MS_SYNCHRONOUS = 1 << 4
MS_REMOUNT = 1 << 5
MS_MANDLOCK = 1 << 6
MS_DIRSYNC = 1 << 7
MS_NOSYMFOLLOW = 1 << 8
MS_NOATIME = 1 << 10
MS_NODIRATIME = 1 << 11
MS_BIND = 1 << 12
MS_MOVE = 1 << 13
MS_REC = 1 << 14
MS_SILENT = 1 << 15
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

PER_MOUNT = (
    MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW | MS_NOATIME | MS_NODIRATIME | MS_RELATIME
    | MS_STRICTATIME
)  # fmt: skip
"""Flags that belong to a mount, not to its filesystem: a bind mount takes them only in a second, remounting call."""

_SET: dict[str, int] = {
    "bind": MS_BIND,
    "dirsync": MS_DIRSYNC,
    "lazytime": MS_LAZYTIME,
    "mand": MS_MANDLOCK,
    "noatime": MS_NOATIME,
    "nodev": MS_NODEV,
    "nodiratime": MS_NODIRATIME,
    "noexec": MS_NOEXEC,
    "nosuid": MS_NOSUID,
    "nosymfollow": MS_NOSYMFOLLOW,
    "rbind": MS_BIND | MS_REC,
    "relatime": MS_RELATIME,
    "remount": MS_REMOUNT,
    "ro": MS_RDONLY,
    "silent": MS_SILENT,
    "strictatime": MS_STRICTATIME,
    "sync": MS_SYNCHRONOUS,
}
_CLEAR: dict[str, int] = {
    "async": MS_SYNCHRONOUS,
    "atime": MS_NOATIME,
    "defaults": 0,
    "dev": MS_NODEV,
    "diratime": MS_NODIRATIME,
    "exec": MS_NOEXEC,
    "loud": MS_SILENT,
    "nolazytime": MS_LAZYTIME,
    "nomand": MS_MANDLOCK,
    "norelatime": MS_RELATIME,
    "nostrictatime": MS_STRICTATIME,
    "rw": MS_RDONLY,
    "suid": MS_NOSUID,
    "symfollow": MS_NOSYMFOLLOW,
}
_PROPAGATION: dict[str, int] = {
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "rshared": MS_SHARED | MS_REC,
    "rslave": MS_SLAVE | MS_REC,
    "runbindable": MS_UNBINDABLE | MS_REC,
    "shared": MS_SHARED,
    "slave": MS_SLAVE,
    "unbindable": MS_UNBINDABLE,
}


class Options:
    """Parsed options: ``flags`` for mount(2), ``propagation`` calls in order, ``data`` strings for the filesystem,
    ``loop`` when the source is a file to attach first, ``uidmap`` and ``gidmap`` ("" when the mount is not idmapped).
    """

    __slots__ = ("data", "flags", "gidmap", "loop", "propagation", "uidmap")

    def __init__(self) -> None:
        self.flags = 0
        self.propagation: list[int] = []
        self.data: list[str] = []
        self.loop = False
        self.uidmap = ""
        self.gidmap = ""

    @property
    def read_only(self) -> bool:
        """Whether `ro` had the last word."""
        return bool(self.flags & MS_RDONLY)


def parse_options(options: Iterable[str]) -> Options:
    """Take option strings apart; of contradicting flags the last one wins. Raises OSError(EINVAL) for half an idmap."""
    result = Options()
    for option in options:
        if option in _SET:
            result.flags |= _SET[option]
        elif option in _CLEAR:
            result.flags &= ~_CLEAR[option]
        elif option in _PROPAGATION:
            result.propagation.append(_PROPAGATION[option])
        elif option == "loop":
            result.loop = True
        elif option.startswith("uidmap="):
            result.uidmap = option[7:]
        elif option.startswith("gidmap="):
            result.gidmap = option[7:]
        elif option and not option.startswith(("X-", "x-")):
            result.data.append(option)
    if bool(result.uidmap) != bool(result.gidmap):
        raise OSError(22, "uidmap= and gidmap= must be given together")
    return result


def overlay_layers(data: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split overlay data into (lower directories, everything else)."""
    lower: list[str] = []
    rest: list[str] = []
    for option in data:
        if option.startswith("lowerdir="):
            lower = option[9:].split(":")
        else:
            rest.append(option)
    return lower, rest


def common_directory(paths: Iterable[str]) -> str:
    """The deepest directory that is a proper ancestor of every absolute path; "" when one of them is not absolute.

    The answer is never one of the paths themselves, so that each has a non-empty name below it.
    """
    shared: list[str] | None = None
    for path in paths:
        if not path.startswith("/"):
            return ""
        parts = [part for part in path.split("/") if part][:-1]
        if shared is None:
            shared = parts
            continue
        same = 0
        while same < min(len(shared), len(parts)) and shared[same] == parts[same]:
            same += 1
        shared = shared[:same]
    return "/" + "/".join(shared) if shared is not None else ""
