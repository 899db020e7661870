"""Directory trees walked, measured and removed without ever leaving them.

A tree may belong to a running container, which can swap a directory for a symbolic link at any moment. Directories are
therefore opened with openat2(2) from the top, refusing links and mount points on the way, and their entries are only
touched relative to that descriptor. Depth is limited by nothing: no recursion, and a path that grows long starts
anew from a descriptor half-way down.
"""

from __future__ import annotations

import ctypes
import errno
import os

from pycontainerd.linux.libc import encode, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SYS_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 1, 2, 4, 8
_HOW = (ctypes.c_uint64 * 3)(
    os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, 0, _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
)
_LONG = 2000
"""Length at which a relative path starts anew; PATH_MAX is 4096 bytes and names have up to 255."""
_BLOCK = 512


class Anchor:
    """A directory descriptor that closes itself with its last user."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class Place:
    """A directory of a tree: ``path`` below an anchor, "" for the anchor itself."""

    __slots__ = ("anchor", "path")

    def __init__(self, anchor: Anchor, path: str = "") -> None:
        self.anchor = anchor
        self.path = path

    @classmethod
    def top(cls, path: str) -> Place:
        """The tree's own top. Raises OSError, also when it is a symbolic link."""
        return cls(Anchor(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)))

    def open(self) -> int:
        """A new descriptor of the directory; the caller closes it. Raises OSError (ELOOP: it became a link)."""
        return open_beneath(self.anchor.fd, self.path or ".")

    def child(self, name: str, fd: int) -> Place:
        """The subdirectory ``name``; ``fd`` is this directory, open."""
        path = f"{self.path}/{name}" if self.path else name
        if len(path) <= _LONG:
            return Place(self.anchor, path)
        return Place(Anchor(os.dup(fd)), name)


def open_beneath(base: int, path: str) -> int:
    """Open the directory ``path`` below the descriptor ``base``, through no link and no mount point."""
    return syscall(
        "open directory", _SYS_OPENAT2, base, encode(path), ctypes.byref(_HOW), ctypes.sizeof(_HOW), path=path
    )


def directories(top: Place) -> Iterator[tuple[Place, int, list[os.DirEntry[str]]]]:
    """Every directory of a tree, parents first, as (place, open descriptor, entries).

    The descriptor is closed when the next item is asked for. A directory that vanished meanwhile, or turned into
    something else, is left out.
    """
    stack = [top]
    while stack:
        place = stack.pop()
        try:
            fd = place.open()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                continue
            raise
        try:
            with os.scandir(fd) as scan:
                entries = list(scan)
            yield place, fd, entries
            stack.extend(place.child(entry.name, fd) for entry in entries if entry.is_dir(follow_symlinks=False))
        finally:
            os.close(fd)


def disk_usage(path: str) -> tuple[int, int]:
    """Bytes allocated and inodes of the tree at ``path``, its top included; hard links count once.

    Entries that vanish during the walk are not counted. Raises OSError.
    """
    top = Place.top(path)
    size, inodes = os.fstat(top.anchor.fd).st_blocks * _BLOCK, 1
    seen: set[tuple[int, int]] = set()
    for _, _, entries in directories(top):
        for entry in entries:
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                key = (stat.st_dev, stat.st_ino)
                if key in seen:
                    continue
                seen.add(key)
            size += stat.st_blocks * _BLOCK
            inodes += 1
    return size, inodes


def remove_tree(path: str) -> None:
    """Remove ``path`` and all below it; nothing there is fine.

    Raises OSError; EXDEV when something is mounted inside, which is then left as it is.
    """
    try:
        top = Place.top(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(path)
        return
    parents: list[tuple[Place, list[str]]] = []
    for place, fd, entries in directories(top):
        inner = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
            else:
                _gone(os.unlink, entry.name, fd)
        if inner:
            parents.append((place, inner))
    while parents:
        place, inner = parents.pop()
        fd = place.open()
        try:
            for name in inner:
                _gone(os.rmdir, name, fd)
        finally:
            os.close(fd)
    os.rmdir(path)


def _gone(act: Callable[..., None], name: str, fd: int) -> None:
    """Unlink or rmdir an entry that may have gone by itself."""
    try:
        act(name, dir_fd=fd)
    except FileNotFoundError:
        pass
