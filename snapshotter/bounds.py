"""How much a snapshot may hold: the label `containerd.io/snapshot/max-size`, enforced or refused.

Where the root's filesystem keeps project quotas, the snapshot's directory gets a project with that limit. Elsewhere its
files lie in a filesystem of that size of their own: `<id>/disk.img`, mounted on `<id>/disk` whenever it is asked for
(a reboot takes the mount away) until the snapshot is removed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument
from pycontainerd.core.snapshots import MAX_SIZE
from pycontainerd.core.units import parse_bytes
from pycontainerd.linux import diskimage, quota

if TYPE_CHECKING:
    from collections.abc import Mapping

_IMAGE, _MOUNT = "disk.img", "disk"


class Bounds:
    """Bounds below one root. Methods raise OSError too."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.quota = quota.enforced(root)
        """Whether the filesystem does it itself."""

    def wanted(self, labels: Mapping[str, str]) -> int:
        """The bound in bytes, 0 for none. Raises InvalidArgument naming the label."""
        text = labels.get(MAX_SIZE, "")
        try:
            size = parse_bytes(text or "0")
        except InvalidArgument as error:
            raise InvalidArgument("label", MAX_SIZE, f"{text!r} is no size such as 10g") from error
        if size and size < diskimage.SMALLEST:
            raise InvalidArgument("label", MAX_SIZE, f"{text} is too small: give at least 1m")
        return size

    def bound(self, base: str, size: int) -> str:
        """Bound the new directory ``base``; return the directory below it that is bounded.

        Raises FailedPrecondition when the size cannot be enforced here.
        """
        if self.quota:
            quota.limit(base, size)
            return base
        try:
            if not os.path.exists(f"{base}/{_IMAGE}"):
                diskimage.make(f"{base}/{_IMAGE}", size)
            return self.top(base)
        except OSError as error:
            raise FailedPrecondition(
                "size of a snapshot",
                size,
                f"it cannot be enforced: {self._root} is on a filesystem without project quota, and a filesystem of its"
                f" own failed ({error.strerror}); mount it with prjquota, or make mkfs.ext4 and loop devices available",
            ) from error

    def top(self, base: str) -> str:
        """Where the files of ``base`` lie: itself, or its own filesystem, which is mounted then."""
        if not os.path.exists(f"{base}/{_IMAGE}"):
            return base
        target = f"{base}/{_MOUNT}"
        if not os.path.isdir(target):
            os.mkdir(target, 0o700)
        diskimage.mount(f"{base}/{_IMAGE}", target)
        return target

    def take_off(self, base: str) -> None:
        """Take the filesystem of a snapshot off before it is removed. Not for a directory that containers write to."""
        if os.path.isdir(f"{base}/{_MOUNT}"):
            diskimage.unmount(f"{base}/{_MOUNT}")

    def project(self, base: str) -> int:
        """The project of a snapshot about to be removed, for ``forget``; 0 for none."""
        return quota.project(base) if self.quota and os.path.isdir(base) else 0

    def forget(self, project: int) -> None:
        """Drop the limit of a project whose snapshot is gone."""
        if project:
            quota.release(self._root, project)
