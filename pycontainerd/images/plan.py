"""What the mounts of a snapshot mean for applying and comparing layers; pure.

One overlay with an upper directory needs no mounting: the layer goes straight into that directory, whiteouts as
overlayfs's own markers, and the lower directories serve as models for what the layer only implies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.values import Mount
from pycontainerd.linux.mountopts import overlay_layers

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ApplyPlan:
    """Where to extract: the directory ``root``, or ``mounts`` to make first when it is empty. ``lowers`` are the
    directories below, nearest first; ``overlay`` and ``userxattr`` say how whiteouts are written."""

    root: str = ""
    mounts: tuple[Mount, ...] = ()
    lowers: tuple[str, ...] = ()
    overlay: bool = False
    userxattr: bool = False


def plan_apply(mounts: Sequence[Mount]) -> ApplyPlan:
    """How to apply a layer onto these mounts."""
    if len(mounts) == 1 and mounts[0].type == "overlay":
        options = mounts[0].options
        upper = [option.partition("=")[2] for option in options if option.startswith("upperdir=")]
        mapped = any(option.startswith(("uidmap=", "gidmap=")) for option in options)
        if upper and not mapped:
            return ApplyPlan(upper[-1], (), tuple(lower_directories(mounts)), True, "userxattr" in options)
    return ApplyPlan(mounts=tuple(mounts))


def lower_directories(mounts: Sequence[Mount]) -> list[str]:
    """The read-only directories of a snapshot's mounts, nearest first; a bind mount is its own only one."""
    if len(mounts) != 1:
        return []
    if mounts[0].type == "overlay":
        lowers, _ = overlay_layers(mounts[0].options)
        return lowers
    return [mounts[0].source]


def read_only(mounts: Sequence[Mount]) -> list[Mount]:
    """The same trees for reading: an overlay's upper directory becomes its topmost lower one, since the snapshot may
    be mounted elsewhere at this moment; everything else gets ``ro``."""
    return [_read_only(mount) for mount in mounts]


def _read_only(mount: Mount) -> Mount:
    if mount.type != "overlay":
        options = tuple(option for option in mount.options if option != "rw")
        return Mount(mount.type, mount.source, mount.target, (*options, "ro") if "ro" not in options else options)
    upper = next((o.partition("=")[2] for o in mount.options if o.startswith("upperdir=")), "")
    rest = [o for o in mount.options if not o.startswith(("upperdir=", "workdir=", "lowerdir="))]
    lowers = [o.partition("=")[2] for o in mount.options if o.startswith("lowerdir=")]
    joined = ":".join(part for part in (upper.replace(":", "\\:"), *lowers) if part)
    return Mount(mount.type, mount.source, mount.target, (*rest, f"lowerdir={joined}"))


def upper_directory(mounts: Sequence[Mount]) -> str:
    """The one directory that a fresh snapshot without parents is, or empty when the mounts are of another form."""
    if len(mounts) == 1 and mounts[0].type in {"bind", ""}:
        return mounts[0].source
    return ""
