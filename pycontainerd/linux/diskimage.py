"""A directory bounded by a filesystem of its own in a file: what limits a tree where no quota can.

`make` writes a sparse image formatted as ext4, `mount` mounts it through a loop device that goes with the mount. A tree
of ``size`` bytes gets an image of that size, of which the filesystem keeps a little for itself.
"""

from __future__ import annotations

import os

from pycontainerd.linux import mountinfo, process
from pycontainerd.linux.mount import mount_one, unmount_all

SMALLEST = 1 << 20
"""Least bytes that mkfs.ext4 makes a filesystem of."""
_MKFS = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0")
_TIMEOUT = 600.0
_RESERVED = "lost+found"


class _Image:
    """What `mount_one` mounts."""

    __slots__ = ("options", "source", "target", "type")

    def __init__(self, path: str) -> None:
        self.type, self.source, self.target = "ext4", path, ""
        self.options = ["loop"]


def make(path: str, size: int) -> None:
    """Make an image under its final name only when it is formatted.

    Raises FileNotFoundError when there is no mkfs.ext4, OSError with its words when it fails.
    """
    partial = f"{path}.partial"
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.ftruncate(descriptor, max(size, SMALLEST))
        result = process.run([*_MKFS, partial], timeout=_TIMEOUT)
        if result.code:
            raise OSError(22, f"mkfs.ext4: {result.text}", path)
        os.fsync(descriptor)
        os.rename(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    finally:
        os.close(descriptor)


def mount(path: str, target: str) -> None:
    """Mount an image on the directory ``target``, unless that was done. Raises OSError."""
    if mountinfo.is_mount_point(target):
        return
    mount_one(_Image(path), target)
    try:
        os.rmdir(os.path.join(target, _RESERVED))  # a new tree is an empty one; fsck makes it again when it needs it
    except OSError:
        pass


def unmount(target: str) -> None:
    """Take it off; not mounted, or no such directory, is fine. Raises OSError."""
    unmount_all(target)
