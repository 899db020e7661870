"""Operations of the confined worker on the files of containers, running or not.

    {"op": "file-stat", VIEW, "path", "follow"} → {"mode", "size", "mtime", "link"} or {"errno"}
    {"op": "file-get", VIEW, "path", "follow"} → {} or {"errno"}; the tar goes to the job's descriptor
    {"op": "file-put", VIEW, "path"} → {} or {"errno"}; the tar comes from the job's descriptor
    {"op": "file-changes", "lower", "upper", "hidden", "scratch"} → {}; records `A/path\\0` go to the job's descriptor

VIEW is "root", a path that opens a running container's root directory, or "mounts" and "binds" ([source, target,
readonly]) to be made in a mount namespace of the worker's own; and "scratch". The root is opened before the process is
shut in, and the path is resolved from it as if it were `/` (openat2(2)), magic links refused; from then on everything
is found beneath descriptors, through no link (``linux.tree``). Bind mounts are crossed, kernel filesystems are not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from pycontainerd.images.layerdiff import ADDED, DELETED, changes
from pycontainerd.images.tarreader import TarReader
from pycontainerd.images.tarstream import ByteStream, Limits
from pycontainerd.images.treework import Packer, TreeExtractor, enter_nothing
from pycontainerd.images.worker import SETTLE, Mount, Pipeline, Sink, enter_both, shut_in
from pycontainerd.linux import confine
from pycontainerd.linux.libc import AT_FDCWD, AT_RECURSIVE, libc, oserror, syscall
from pycontainerd.linux.mount import mount_all
from pycontainerd.linux.mountcall import mount
from pycontainerd.linux.openat2 import (
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    open_in_root,
    openat2,
)
from pycontainerd.linux.tree import Anchor, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from pycontainerd.images.worker import Operation

_SYS_OPEN_TREE = 428
_OPEN_TREE_CLONE = 1
_MS_BIND, _MS_REC, _MS_RDONLY, _MS_REMOUNT = 0x1000, 0x4000, 1, 0x20
_READERS = {confine.CAP_DAC_OVERRIDE, confine.CAP_DAC_READ_SEARCH}
_KERNEL = {0x9FA0, 0x62656572, 0x27E0EB, 0x63677270, 0x1CD1, 0x19800202, 0x64626720, 0x74726163}
"""Filesystems that hold no files of anybody's (statfs(2)): proc, sysfs, cgroup, cgroup2, devpts, mqueue, debugfs, …"""
_HARMLESS = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG}
"""Failures that are the path's, and told by number."""


def file_stat(request: dict[str, Any], job: socket.socket, _unused: int) -> dict[str, Any]:
    """Look at one path."""
    root = _open_root(request)
    try:
        found = _open(root, request, os.O_PATH)
        status = os.fstat(found)
        link = os.readlink("", dir_fd=found) if stat.S_ISLNK(status.st_mode) else ""
    except OSError as error:
        return _told(error)
    return {"mode": status.st_mode, "size": status.st_size, "mtime": status.st_mtime_ns, "link": link}


def file_get(request: dict[str, Any], job: socket.socket, out: int) -> dict[str, Any]:
    """Write a file or a tree as a tar."""
    root = _open_root(request)
    try:
        found = _open(root, request, os.O_PATH)
        mode = os.fstat(found).st_mode
        if stat.S_ISDIR(mode):
            found = _open(root, request, os.O_RDONLY | os.O_DIRECTORY)
            parent = -1
        else:
            parent = _parent(root, request)
    except OSError as error:
        return _told(error)
    enter_nothing(request["scratch"])
    shut_in(job, {root, found, out, parent} - {-1}, _READERS)
    sink = Sink(out, "")
    packer = Packer(sink)
    if parent < 0:
        packer.run(_Crossing(Anchor(found)))
    else:
        packer.single(parent, _base(request))
    sink.close()
    return {}


def file_put(request: dict[str, Any], job: socket.socket, blob: int) -> dict[str, Any]:
    """Extract a tar into a directory."""
    root = _open_root(request)
    try:
        found = open_in_root(root, os.fsencode(request["path"]), os.O_RDONLY | os.O_DIRECTORY)
        if os.fstatvfs(found).f_flag & os.ST_RDONLY:
            return {"errno": errno.EROFS}
    except OSError as error:
        return _told(error)
    enter_nothing(request["scratch"])
    shut_in(job, {root, found, blob}, SETTLE | {confine.CAP_MKNOD})
    limits = Limits(bytes=0, entries=0, ratio=0, free=0)
    pipeline = Pipeline(blob, None, limits)
    stream = ByteStream(pipeline.next_piece)
    TreeExtractor(found).apply(TarReader(stream, limits))
    stream.drain()
    pipeline.result()
    return {}


def file_changes(request: dict[str, Any], job: socket.socket, out: int) -> dict[str, Any]:
    """Name what differs between two trees."""
    enter_both(request)
    shut_in(job, {out}, _READERS)
    hidden = {os.fsencode(path).strip(b"/") for path in request["hidden"]}
    with os.fdopen(out, "wb") as file:
        for kind, path in _named(b"/lower", b"/upper", hidden):
            file.write(kind + b"/" + path + b"\0")
    return {}


OPERATIONS: dict[str, Operation] = {
    "file-stat": file_stat,
    "file-get": file_get,
    "file-put": file_put,
    "file-changes": file_changes,
}
"""For ``worker.main``."""


def _named(lower: bytes, upper: bytes, hidden: set[bytes]) -> list[tuple[bytes, bytes]]:
    """Kinds and paths in order; a directory in which something changed counts as changed, as Docker has it. A hidden
    directory counts when something else is in it."""
    result: dict[bytes, bytes] = {}
    for change in changes(lower, upper):
        if change.state == DELETED:
            result[change.path] = b"D"
        elif change.state == ADDED:
            kind = b"C" if os.path.lexists(lower + b"/" + change.path) else b"A"
            if kind == b"A" and change.path in hidden:
                continue
            result[change.path] = kind
        else:
            continue
        above = change.path.rpartition(b"/")[0]
        while above and above not in result:
            result[above] = b"A" if above in hidden and not os.path.lexists(lower + b"/" + above) else b"C"
            above = above.rpartition(b"/")[0]
    return [(kind, path) for path, kind in sorted(result.items())]


def _told(error: OSError) -> dict[str, Any]:
    if error.errno not in _HARMLESS:
        raise error
    return {"errno": error.errno}


def _open_root(request: dict[str, Any]) -> int:
    """A descriptor of the container's root directory, in a mount namespace of our own from here on. Raises OSError."""
    if request["root"]:
        root = os.open(request["root"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        confine.private_mounts()
        return root
    scratch = request["scratch"]
    confine.private_mounts()
    mount_all([Mount(each) for each in request["mounts"]], scratch)
    root = os.open(scratch, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for source, target, readonly in request["binds"]:
        _bind(root, source, target, readonly)
    # A clone keeps its mounts together when ours are detached.
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | AT_RECURSIVE
    return syscall("clone mounts", _SYS_OPEN_TREE, AT_FDCWD, os.fsencode(scratch), flags, path=scratch)


def _bind(root: int, source: str, target: str, readonly: bool) -> None:
    """What cannot be found, on either side, is not seen."""
    try:
        place = open_in_root(root, os.fsencode(target), os.O_PATH)
    except OSError:
        return
    try:
        path = f"/proc/self/fd/{place}"
        try:
            mount(source, path, "", _MS_BIND | _MS_REC)
            if readonly:
                again = open_in_root(root, os.fsencode(target), os.O_PATH)
                try:
                    mount("", f"/proc/self/fd/{again}", "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
                finally:
                    os.close(again)
        except OSError as error:
            if error.errno not in _HARMLESS:
                raise
    finally:
        os.close(place)


def _open(root: int, request: dict[str, Any], flags: int) -> int:
    """The path itself; a link at its end is followed when asked for, or when a slash is behind it."""
    path = os.fsencode(request["path"])
    if not request["follow"] and not path.endswith((b"/", b"/.")):
        flags |= os.O_NOFOLLOW
    return open_in_root(root, path, flags)


def _parent(root: int, request: dict[str, Any]) -> int:
    """The directory that the file is in, for reading its entry."""
    return open_in_root(root, os.path.dirname(_real(root, request)) or b"/", os.O_RDONLY | os.O_DIRECTORY)


def _base(request: dict[str, Any]) -> str:
    return os.fsdecode(os.path.basename(os.fsencode(request["real"])))


def _real(root: int, request: dict[str, Any]) -> bytes:
    """The path with links at its end resolved, if they are to be."""
    path = os.fsencode(request["path"])
    for _ in range(40 if request["follow"] else 0):
        found = open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW)
        try:
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                break
            path = os.path.join(os.path.dirname(path), os.fsencode(os.readlink("", dir_fd=found)))
        finally:
            os.close(found)
    request["real"] = os.fsdecode(path)
    return path


class _Crossing(Place):
    """A directory whose subdirectories may be mount points, except those of the kernel's own filesystems."""

    __slots__ = ()

    def open(self) -> int:
        """As ``Place.open``; what is the kernel's own looks as if it were gone."""
        resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        fd = openat2(self.anchor.fd, os.fsencode(self.path) or b".", flags, resolve)
        if _filesystem(fd) in _KERNEL:
            os.close(fd)
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
        return fd

    def child(self, name: str, fd: int) -> Place:
        """The subdirectory ``name``; ``fd`` is this directory, open."""
        plain = super().child(name, fd)
        return _Crossing(plain.anchor, plain.path)


def _filesystem(fd: int) -> int:
    """The magic number of the filesystem a descriptor is on."""
    buffer = (ctypes.c_long * 32)()
    if libc.fstatfs(fd, buffer) < 0:
        raise oserror("look at filesystem")
    return int(buffer[0])
