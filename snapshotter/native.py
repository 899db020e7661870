"""Snapshots as full copies: works on any filesystem, and costs the space of every layer again (less with reflinks).

A snapshot is the directory `<root>/snapshots/<id>`. A view of a parent has none: it shows the parent's own, read-only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycontainerd.core.errors import FailedPrecondition
from pycontainerd.core.snapshots import Kind, Usage
from pycontainerd.core.values import Mount
from pycontainerd.linux.copy import copy_tree
from pycontainerd.linux.tree import disk_usage, remove_tree
from snapshotter import directories
from snapshotter.bounds import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class NativeDriver:
    """core.snapshots.SnapshotDriver on plain directories below ``root``."""

    name = "native"
    capabilities: Sequence[str] = ()

    def __init__(self, root: str) -> None:
        self.root = root
        self._directory = directories.open_root(root)
        self._bounds = Bounds(self._directory)

    def prepare(self, id: str, parents: Sequence[str], kind: Kind, labels: Mapping[str, str]) -> None:
        """Make the directory, a copy of the nearest parent. What an interrupted attempt left is started anew.

        Raises also FailedPrecondition for a size where the filesystem keeps no project quota: a copy has no upper part
        that could lie elsewhere.
        """
        path = self._path(id)
        if kind is Kind.VIEW and parents:
            return
        size = self._bounds.wanted(labels) if kind is Kind.ACTIVE else 0
        if size and not self._bounds.quota:
            raise FailedPrecondition(
                "size of a snapshot",
                size,
                "the native snapshotter cannot enforce it on this filesystem: mount it with prjquota or use overlayfs",
            )
        remove_tree(path)
        directories.make_directory(path, 0o755)
        try:
            if size:
                copied = disk_usage(self._path(parents[0]))[0] if parents else 0
                self._bounds.bound(path, size + copied)
            if parents:
                copy_tree(self._path(parents[0]), path)
        except BaseException:
            remove_tree(path)
            raise

    def mounts(self, id: str, parents: Sequence[str], kind: Kind, labels: Mapping[str, str]) -> list[Mount]:
        """One bind mount."""
        shown = parents[0] if kind is Kind.VIEW and parents else id
        return [Mount("bind", self._path(shown), options=("rbind", "rw" if kind is Kind.ACTIVE else "ro"))]

    def commit(self, id: str, parents: Sequence[str]) -> Usage:
        """Measure the copy; it holds everything, so there is nothing to seal."""
        return self.usage(id)

    def usage(self, id: str) -> Usage:
        """Allocated bytes and inodes of the whole copy; nothing for a view that shows its parent."""
        try:
            return Usage(*disk_usage(self._path(id)))
        except FileNotFoundError:
            return Usage()

    def remove(self, id: str) -> None:
        """Remove the copy."""
        projects = [self._bounds.project(path) for path in directories.places(self._directory, id)]
        directories.remove_directory(self._directory, id)
        for project in projects:
            self._bounds.forget(project)

    def ids(self) -> Sequence[str]:
        """The ids that have a directory."""
        return directories.list_ids(self._directory)

    def sync(self) -> None:
        """Write the root's filesystem to its disk."""
        directories.sync(self._directory)

    def _path(self, id: str) -> str:
        return os.path.join(self._directory, id)
