"""Snapshots as layers of the kernel's overlay filesystem (Documentation/filesystems/overlayfs.rst).

A snapshot is `<root>/snapshots/<id>/fs`, the difference to its parents, and for an active one `work`, which the kernel
needs beside the upper directory. Nothing is mounted here, `mounts` only says how, but for the filesystem that bounds a
snapshot where no quota can (`bounds`): then both lie below `<id>/disk`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument
from pycontainerd.core.snapshots import REBASE, REMAP_IDS, Kind, Usage
from pycontainerd.core.values import Mount
from pycontainerd.linux.tree import disk_usage
from snapshotter import directories, probe
from snapshotter.bounds import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UID_MAPPING = "containerd.io/snapshot/uidmapping"
GID_MAPPING = "containerd.io/snapshot/gidmapping"


@dataclass(frozen=True, slots=True)
class OverlayConfig:
    """``mount_options`` go into every overlay mount, before those the kernel needs."""

    mount_options: tuple[str, ...] = ()


class OverlayDriver:
    """core.snapshots.SnapshotDriver on overlay layers below ``root``.

    Raises FailedPrecondition when overlay does not work there, and InvalidArgument for an unusable path.
    """

    name = "overlayfs"

    def __init__(self, root: str, config: OverlayConfig | None = None) -> None:
        self.root = root
        self._directory = directories.open_root(root)
        self._bounds = Bounds(self._directory)
        found = probe.overlay(root)
        if found.failure:
            raise FailedPrecondition(
                "overlay snapshots under", root, f"{found.failure}; use another root or the native snapshotter"
            )
        self._extra = (*(config or OverlayConfig()).mount_options, *found.options)
        self._idmap = found.idmap
        # a user namespace cannot write whiteouts into a layer without mounting it on its parents
        self.capabilities: Sequence[str] = tuple(
            name for name, there in ((REBASE, not found.unprivileged), (REMAP_IDS, found.idmap)) if there
        )

    def prepare(self, id: str, parents: Sequence[str], kind: Kind, labels: Mapping[str, str]) -> None:
        """Make the directories. The top one belongs to whom it does in the parent, or to the mapped root.

        Raises also FailedPrecondition and InvalidArgument for a size that cannot be enforced, or is none.
        """
        size = self._bounds.wanted(labels) if kind is Kind.ACTIVE else 0
        base = os.path.join(self._directory, id)
        directories.make_directory(base, 0o700)
        if size:
            base = self._bounds.bound(base, size)
        top = os.path.join(base, "fs")
        directories.make_directory(top, 0o755)
        owner = self._mapped_root(labels)
        if owner is None and parents:
            parent = os.stat(self._layer(parents[0]))
            owner = (parent.st_uid, parent.st_gid)
        if owner is not None and owner != (os.geteuid(), os.getegid()):
            os.chown(top, *owner)
        if kind is Kind.ACTIVE:
            work = os.path.join(base, "work")
            directories.make_directory(work, 0o711)

    def mounts(self, id: str, parents: Sequence[str], kind: Kind, labels: Mapping[str, str]) -> list[Mount]:
        """One bind or overlay mount; see the module's text and containerd's overlay snapshotter for the cases."""
        options: list[str] = []
        if self._idmap:
            pairs = (("uidmap", UID_MAPPING), ("gidmap", GID_MAPPING))
            options += [f"{option}={labels[label]}" for option, label in pairs if labels.get(label)]
        if not parents:
            mode = "rw" if kind is Kind.ACTIVE else "ro"
            return [Mount("bind", self._layer(id), options=(*options, mode, "rbind"))]
        if kind is Kind.ACTIVE:
            upper = self._layer(id)
            options += [f"workdir={os.path.dirname(upper)}/work", f"upperdir={upper}"]
        elif len(parents) == 1:
            return [Mount("bind", self._layer(parents[0]), options=(*options, "ro", "rbind"))]
        options.append("lowerdir=" + ":".join(self._layer(parent) for parent in parents))
        return [Mount("overlay", "overlay", options=(*options, *self._extra))]

    def commit(self, id: str, parents: Sequence[str]) -> Usage:
        """Measure the layer; it is complete as it lies, whatever its parents."""
        top = os.path.dirname(self._layer(id))
        if not self._is_plain(top):
            directories.sync(top)
        return self.usage(id)

    def usage(self, id: str) -> Usage:
        """Allocated bytes and inodes of the layer alone."""
        return Usage(*disk_usage(self._layer(id)))

    def remove(self, id: str) -> None:
        """Remove the layer's directories."""
        places = directories.places(self._directory, id)
        for place in places:
            self._bounds.take_off(place)
        projects = [self._bounds.project(place) for place in places]
        directories.remove_directory(self._directory, id)
        for project in projects:
            self._bounds.forget(project)

    def ids(self) -> Sequence[str]:
        """The ids that have a directory."""
        return directories.list_ids(self._directory)

    def sync(self) -> None:
        """Write the root's filesystem to its disk."""
        directories.sync(self._directory)

    def _layer(self, id: str) -> str:
        return f"{self._bounds.top(f'{self._directory}/{id}')}/fs"

    def _is_plain(self, top: str) -> bool:
        return os.path.dirname(top) == self._directory

    def _mapped_root(self, labels: Mapping[str, str]) -> tuple[int, int] | None:
        """Who root of the mapped container is on the host: the first entry that starts at container id 0."""
        uid, gid = labels.get(UID_MAPPING, ""), labels.get(GID_MAPPING, "")
        if not uid and not gid:
            return None
        return host_root(UID_MAPPING, uid), host_root(GID_MAPPING, gid)


def host_root(label: str, mapping: str) -> int:
    """The host id of container id 0 in `container:host:count[,…]`. Raises InvalidArgument naming the label."""
    for part in mapping.split(","):
        numbers = part.split(":")
        if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise InvalidArgument("label", label, f"{mapping!r} is not container:host:count")
        if int(numbers[0]) == 0 and int(numbers[2]) > 0:
            return int(numbers[1])
    raise InvalidArgument("label", label, f"{mapping!r} does not map id 0")
