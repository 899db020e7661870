"""What drivers that keep one directory a snapshot have in common: naming, removal, and the sweep's list.

A snapshot `<id>` lives at `<root>/snapshots/<id>`. Removal renames it to `rm-<id>` first, so that nothing half-deleted
ever carries a snapshot's name; what a crash leaves under the new name counts as a directory of `<id>` for the sweep.
"""

from __future__ import annotations

import os

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.linux.libc import libc, oserror
from pycontainerd.linux.tree import remove_tree
from pycontainerd.wire.failpoint import hit

_REMOVED = "rm-"


def open_root(root: str) -> str:
    """Make ``root`` and its `snapshots` directory; return the latter's path.

    Raises InvalidArgument for a root whose path cannot stand in mount options, OSError when it cannot be made.
    """
    if any(char in root for char in ":,\\\n") or not os.path.isabs(root):
        raise InvalidArgument(
            "snapshotter root", root, "must be an absolute path without ':', ',' and backslashes: choose another root"
        )
    directory = os.path.join(root, "snapshots")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.chmod(root, 0o700)
    os.chmod(directory, 0o700)
    return directory


def make_directory(path: str, mode: int) -> None:
    """mkdir that does not mind an existing one and does not look at the umask."""
    try:
        os.mkdir(path)
    except FileExistsError:
        pass
    os.chmod(path, mode)


def remove_directory(directory: str, id: str) -> None:
    """Rename, then delete, the directory of a snapshot and what an earlier attempt left; idempotent."""
    gone = os.path.join(directory, _REMOVED + id)
    remove_tree(gone)
    try:
        os.rename(os.path.join(directory, id), gone)
    except FileNotFoundError:
        return
    hit("snapshot.remove.renamed")
    remove_tree(gone)


def places(directory: str, id: str) -> tuple[str, str]:
    """Where the directory of a snapshot may be: under its name, and under the one it has while it is removed."""
    return os.path.join(directory, id), os.path.join(directory, _REMOVED + id)


def list_ids(directory: str) -> list[str]:
    """The ids that have a directory, also a half-removed one; names that are no id are somebody else's."""
    names = {name.removeprefix(_REMOVED) for name in os.listdir(directory)}
    return sorted((name for name in names if name.isascii() and name.isdigit()), key=int)


def sync(directory: str) -> None:
    """syncfs(2) of the filesystem that ``directory`` is on. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(descriptor) < 0:
            raise oserror("sync filesystem", directory)
    finally:
        os.close(descriptor)
