"""Comparing two directory trees into a layer (OCI image-spec, layer.md): what was added, changed, deleted.

Both trees are walked together in byte order of names, so the same trees always give the same archive. A changed file
brings its parent directories along; hard links stay hard links, and a new link to an old file brings that file too.
Runs in a confined process whose root holds nothing but the two trees, so paths are plain paths.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TypeVar

from pycontainerd.images import tarreader as tr
from pycontainerd.images import tarwriter
from pycontainerd.images.extract import WHITEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADDED, SAME, DELETED = range(3)
"""What became of a path; a directory that is the SAME is written only when something below it is."""

T = TypeVar("T")

_PIECE = 1 << 20
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL}
"""What looking at a path says whose file went away, or became another kind of file (EINVAL: no symbolic link)."""
_KINDS = {
    stat.S_IFREG: tr.REGULAR,
    stat.S_IFDIR: tr.DIRECTORY,
    stat.S_IFLNK: tr.SYMLINK,
    stat.S_IFCHR: tr.CHARACTER,
    stat.S_IFBLK: tr.BLOCK_DEVICE,
    stat.S_IFIFO: tr.FIFO,
}


class Change:
    """One path (relative, bytes), what became of it, and its looks in the upper tree (None when deleted)."""

    __slots__ = ("path", "state", "status")

    def __init__(self, path: bytes, state: int, status: os.stat_result | None) -> None:
        self.path, self.state, self.status = path, state, status


def changes(lower: bytes, upper: bytes) -> list[Change]:
    """What differs between two trees, with the unchanged directories and multiply linked files in between."""
    found = list(_walk(lower, upper, b""))
    _pull_in_links(found)
    return found


def _walk(lower: bytes, upper: bytes, path: bytes) -> Iterator[Change]:
    """Iterative: a tree may be deeper than the interpreter's stack."""
    stack = [iter(_pair(lower, upper, path))]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        name, in_lower, in_upper = step
        status = _lstat(upper, name) if in_upper else None
        if status is None:
            if in_lower:
                yield Change(name, DELETED, None)
            continue
        below = _lstat(lower, name) if in_lower else None
        if stat.S_ISDIR(status.st_mode):
            yield Change(name, ADDED if below is None or _differs(lower, upper, name, below, status) else SAME, status)
            merged = below is not None and stat.S_ISDIR(below.st_mode)
            stack.append(iter(_pair(lower if merged else b"", upper, name)))
        elif below is None or _differs(lower, upper, name, below, status):
            yield Change(name, ADDED, status)
        elif status.st_nlink > 1:
            yield Change(name, SAME, status)


def _pair(lower: bytes, upper: bytes, path: bytes) -> list[tuple[bytes, bool, bool]]:
    """The names of both directories, joined to ``path``, with where each is."""
    first = set(_names(lower, path)) if lower else set()
    second = set(_names(upper, path))
    prefix = path + b"/" if path else b""
    return [(prefix + name, name in first, name in second) for name in sorted(first | second)]


def _names(root: bytes, path: bytes) -> list[bytes]:
    try:
        return os.listdir(root + b"/" + path)
    except OSError as error:
        return _gone(error, [])


def _lstat(root: bytes, path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(root + b"/" + path)
    except OSError as error:
        return _gone(error, None)


def _gone(error: OSError, instead: T) -> T:
    """What stands for something that a running container removed, or put something else in the place of, while it was
    looked at. Raises the error when it is of another kind."""
    if error.errno in _GONE:
        return instead
    raise error


def _differs(lower: bytes, upper: bytes, path: bytes, old: os.stat_result, new: os.stat_result) -> bool:
    """Whether the file changed; one that is changing this very moment did."""
    try:
        return _looks_different(lower, upper, path, old, new)
    except OSError as error:
        return _gone(error, instead=True)


def _looks_different(lower: bytes, upper: bytes, path: bytes, old: os.stat_result, new: os.stat_result) -> bool:
    """Whether the file changed. An unchanged one on an overlay is the very inode of the layer below: same number, same
    change time, which copying up does not preserve. Otherwise looks decide, and content where times are whole seconds
    (as archives restore them) and so say little."""
    if (old.st_ino, old.st_ctime_ns) == (new.st_ino, new.st_ctime_ns):
        return False
    if (old.st_mode, old.st_uid, old.st_gid) != (new.st_mode, new.st_uid, new.st_gid):
        return True
    if not stat.S_ISDIR(new.st_mode):
        if (old.st_size, old.st_mtime_ns, old.st_rdev) != (new.st_size, new.st_mtime_ns, new.st_rdev):
            return True
        first, second = lower + b"/" + path, upper + b"/" + path
        if stat.S_ISLNK(new.st_mode) and os.readlink(first) != os.readlink(second):
            return True
        if stat.S_ISREG(new.st_mode) and new.st_mtime_ns % 10**9 == 0 and not _same_content(first, second):
            return True
    return xattrs(lower + b"/" + path) != xattrs(upper + b"/" + path)


def _same_content(first: bytes, second: bytes) -> bool:
    with open(first, "rb", buffering=0) as a, open(second, "rb", buffering=0) as b:
        while True:
            one, two = a.read(_PIECE), b.read(_PIECE)
            if one != two:
                return False
            if not one:
                return True


def xattrs(path: bytes) -> dict[bytes, bytes]:
    """The attributes that belong into a layer: capabilities and the user's own; not overlayfs's, not the host's."""
    found: dict[bytes, bytes] = {}
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return found
    for name in names:
        key = os.fsencode(name)
        if key == b"security.capability" or (key.startswith(b"user.") and not key.startswith(b"user.overlay.")):
            try:
                found[key] = os.getxattr(path, name, follow_symlinks=False)
            except OSError as error:
                if error.errno not in {errno.ENODATA, errno.ENOENT}:
                    raise
    return found


def _pull_in_links(found: list[Change]) -> None:
    """A link in a layer must name a file of the same layer: links of a changed group are all written."""
    groups: dict[tuple[int, int], list[Change]] = {}
    for change in found:
        status = change.status
        if status is not None and status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            groups.setdefault((status.st_dev, status.st_ino), []).append(change)
    for group in groups.values():
        if any(change.state == ADDED for change in group):
            for change in group:
                change.state = ADDED


class LayerWriter:
    """Writes changes as a tar through ``write``; ``epoch`` (seconds) is the latest time a file may carry, and stands
    in whiteouts, which else carry 0."""

    def __init__(self, root: bytes, write: Callable[[bytes], None], epoch: int | None = None) -> None:
        self._root, self._write, self._epoch = root, write, epoch
        self._waiting: list[Change] = []
        self._links: dict[tuple[int, int], bytes] = {}

    def run(self, found: list[Change]) -> None:
        """Write them all, and the end of the archive."""
        for change in found:
            while self._waiting and not change.path.startswith(self._waiting[-1].path + b"/"):
                self._waiting.pop()
            if change.state == SAME:
                if change.status is not None and stat.S_ISDIR(change.status.st_mode):
                    self._waiting.append(change)
                continue
            for parent in self._waiting:
                if parent.state == SAME:
                    self._member(parent)
                    parent.state = ADDED
            if change.state == DELETED:
                self._whiteout(change.path)
            else:
                self._member(change)
                if change.status is not None and stat.S_ISDIR(change.status.st_mode):
                    self._waiting.append(change)
        self._write(tarwriter.END)

    def _time(self, seconds: int) -> int:
        return seconds if self._epoch is None else min(seconds, self._epoch)

    def _whiteout(self, path: bytes) -> None:
        parent, slash, base = path.rpartition(b"/")
        self._write(tarwriter.member(parent + slash + WHITEOUT + base, tr.REGULAR, mtime=0))

    def _member(self, change: Change) -> None:
        status = change.status
        assert status is not None
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None or change.path.rpartition(b"/")[2].startswith(WHITEOUT):
            return  # sockets have no place in a layer, and a file that looks like a whiteout would act as one
        path = self._root + b"/" + change.path
        link, size, descriptor = b"", 0, -1
        try:
            if kind == tr.SYMLINK:
                link = os.readlink(path)
            elif kind != tr.DIRECTORY and status.st_nlink > 1:
                first = self._links.setdefault((status.st_dev, status.st_ino), change.path)
                if first != change.path:
                    kind, link = tr.LINK, first
            if kind == tr.REGULAR:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                size = os.fstat(descriptor).st_size
            header = self._header(change.path, kind, status, size, link)
        except OSError as error:
            _gone(error, None)
        else:
            self._write(header)
            if kind == tr.REGULAR:
                self._content(descriptor, size)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _header(self, path: bytes, kind: int, status: os.stat_result, size: int, link: bytes) -> bytes:
        device = (0, 0)
        if kind in {tr.CHARACTER, tr.BLOCK_DEVICE}:
            device = (os.major(status.st_rdev), os.minor(status.st_rdev))
        return tarwriter.member(
            path + b"/" if kind == tr.DIRECTORY else path,
            kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            size=size,
            mtime=self._time(status.st_mtime_ns // 10**9),
            link=link,
            device=device,
            xattrs=None if kind == tr.LINK else xattrs(self._root + b"/" + path),
        )

    def _content(self, descriptor: int, size: int) -> None:
        """Exactly ``size`` bytes: a file that shrinks meanwhile is filled up, one that grows is cut."""
        left = size
        while left:
            piece = os.read(descriptor, min(left, _PIECE))
            if not piece:
                piece = bytes(min(left, _PIECE))
            self._write(piece)
            left -= len(piece)
        self._write(tarwriter.padding(size))
