"""What the kernel and the filesystem under a root offer to overlay snapshots; found by trying, not by version."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass

from pycontainerd.core.values import Mount
from pycontainerd.linux import mountinfo
from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.linux.tree import remove_tree

_INDEX = "/sys/module/overlay/parameters/index"
_IDENTITY = ("0", "0", "4294967295")


@dataclass(frozen=True, slots=True)
class Overlay:
    """``failure`` says in half a sentence why overlay does not work, "" when it does; ``options`` are needed in every
    overlay mount; ``idmap`` whether layers can be mounted with mapped ids; ``unprivileged`` that we are in a user
    namespace.
    """

    failure: str
    options: tuple[str, ...] = ()
    idmap: bool = False
    unprivileged: bool = False


def overlay(root: str) -> Overlay:
    """Try an overlay whose layers lie under ``root``, as snapshots will: write, delete, and look for the whiteout.

    An overlay as the root's own filesystem is the usual reason for failure: as an upper layer it cannot hold the
    attributes the kernel keeps there.
    """
    unprivileged = in_user_namespace()
    options: tuple[str, ...] = ("userxattr",) if unprivileged else ()
    if os.path.exists(_INDEX):
        options += ("index=off",)
    place = tempfile.mkdtemp(prefix="probe-", dir=root)
    try:
        for name in ("lower1", "lower2", "upper", "work", "merged"):
            os.mkdir(os.path.join(place, name))
        with open(os.path.join(place, "lower2", "file"), "w", encoding="ascii"):
            pass
        failure = _try_overlay(root, place, options)
        mapped = not failure and not unprivileged and _try_idmap(place)
    finally:
        unmount_all(os.path.join(place, "merged"))
        remove_tree(place)
    return Overlay(failure, options, mapped, unprivileged)


def _try_overlay(root: str, place: str, options: tuple[str, ...]) -> str:
    """Why overlay fails under ``root``, or ""."""
    merged = os.path.join(place, "merged")
    layers = (f"workdir={place}/work", f"upperdir={place}/upper", f"lowerdir={place}/lower1:{place}/lower2")
    try:
        mount_all([Mount("overlay", "overlay", options=(*layers, *options))], merged)
        with open(os.path.join(merged, "new"), "w", encoding="ascii"):
            pass
        os.unlink(os.path.join(merged, "file"))
    except OSError as error:
        kind = mountinfo.covering(root).type
        return f"its filesystem ({kind}) cannot hold overlay layers: {error.strerror or error}"
    finally:
        unmount_all(merged)
    whiteout = os.lstat(os.path.join(place, "upper", "file"))
    if not stat.S_ISCHR(whiteout.st_mode) and not stat.S_ISREG(whiteout.st_mode):
        return "deleting a file of a lower layer leaves no whiteout there"
    return ""


def _try_idmap(place: str) -> bool:
    """Whether a layer of an overlay may be a mount with mapped ids (Linux 5.19, and a filesystem that takes part)."""
    merged = os.path.join(place, "merged")
    mapping = ("uidmap=0:100000:65536", "gidmap=0:100000:65536")
    work = os.path.join(place, "work2")
    os.mkdir(work)
    layers = (f"workdir={work}", f"upperdir={place}/upper", f"lowerdir={place}/lower1:{place}/lower2")
    try:
        mount_all([Mount("overlay", "overlay", options=(*mapping, *layers))], merged)
        unmount_all(merged)
    except OSError:
        return False
    return True


def in_user_namespace() -> bool:
    """Whether our ids are mapped, so that `trusted.*` attributes and device nodes are out of reach."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return tuple(file.readline().split()) != _IDENTITY
    except OSError:
        return False
