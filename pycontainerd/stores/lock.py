"""How a daemon takes possession of a root directory: the lock, and a look at whether the parts belong together."""

from __future__ import annotations

import fcntl
import glob
import os

from pycontainerd.core.errors import FailedPrecondition


class RootLock:
    """Holds ``<root>/lock`` until ``close`` or the process ends: two daemons on one root would collect each
    other's data.

    Raises FailedPrecondition, naming the other process, when the root is taken.
    """

    def __init__(self, root: str) -> None:
        os.makedirs(root, mode=0o711, exist_ok=True)
        self.path = os.path.join(root, "lock")
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise FailedPrecondition(
                "root directory", root, f"the daemon with pid {owner} uses it; stop that one or choose another root"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Release the root; the file stays, since removing it would let two daemons lock different files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


DATA = ("io.containerd.content.v1.content/blobs/*/*", "io.containerd.snapshotter.v1.*/snapshots/*")
"""What only rows give a meaning to, as patterns below the root."""


def refuse_orphans(root: str, database: str) -> None:
    """Raise FailedPrecondition when there is data but no database: starting empty would collect all of it."""
    if os.path.exists(database) and os.path.getsize(database):
        return
    for pattern in DATA:
        found = next(glob.iglob(os.path.join(glob.escape(root), pattern)), "")
        if found:
            raise FailedPrecondition(
                "root directory",
                root,
                f"the metadata database {database} is missing, but there is data such as {found}; restore the database,"
                " or move the io.containerd.* directories away to start empty",
            )
