"""Operations of the confined worker on whole trees that are no layers: what volumes are filled from and saved to.

    {"op": "copy", "source", "target", "scratch"} → {}
    {"op": "copy-up", "mounts", "path", "target", "scratch"} → {"found"}
    {"op": "pack", "source", "compression", "scratch"} → {"size"}; the tar goes to the job's descriptor
    {"op": "unpack", "target", "limits"} → {"size", "entries"}; the tar comes from the job's descriptor

Both trees may belong to running containers. Their tops are opened before the process is shut in, the path inside a
root filesystem as if that were `/`; from there on everything is found beneath those descriptors through no link
(``linux.tree``). The root it is shut into holds nothing but `/proc/self/fd`, by which attributes of links are read.
"""

from __future__ import annotations

import errno
import os
import stat

from pycontainerd.images import tarreader as tr
from pycontainerd.images import tarwriter
from pycontainerd.images.extract import Extractor, clean
from pycontainerd.images.layerdirs import Meta, dress
from pycontainerd.images.tarreader import TarReader
from pycontainerd.images.tarstream import ByteStream, Limits
from pycontainerd.images.worker import SETTLE, Mount, Pipeline, Sink, shut_in
from pycontainerd.linux import confine
from pycontainerd.linux.copy import copy_places
from pycontainerd.linux.libc import libc, oserror
from pycontainerd.linux.mount import mount_all
from pycontainerd.linux.mountcall import mount
from pycontainerd.linux.openat2 import open_in_root
from pycontainerd.linux.tree import Anchor, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from pycontainerd.images.worker import Operation

_FD = "/proc/self/fd"
_MS_BIND = 0x1000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""What a directory or file answers that was replaced or removed since it was listed."""
_KINDS = {
    stat.S_IFREG: tr.REGULAR,
    stat.S_IFDIR: tr.DIRECTORY,
    stat.S_IFLNK: tr.SYMLINK,
    stat.S_IFCHR: tr.CHARACTER,
    stat.S_IFBLK: tr.BLOCK_DEVICE,
    stat.S_IFIFO: tr.FIFO,
}


def copy(request: dict[str, Any], job: socket.socket, _unused: int) -> dict[str, Any]:
    """Copy one tree into another, empty one."""
    source, target = Place.top(request["source"]), Place.top(request["target"])
    enter_nothing(request["scratch"])
    shut_in(job, {source.anchor.fd, target.anchor.fd}, SETTLE | {confine.CAP_MKNOD})
    copy_places(source, target)
    _sync(target.anchor.fd)
    return {}


def copy_up(request: dict[str, Any], job: socket.socket, _unused: int) -> dict[str, Any]:
    """Copy a directory of a container's root filesystem into an empty tree."""
    target, scratch = Place.top(request["target"]), request["scratch"]
    confine.private_mounts()
    mount_all([Mount(each) for each in request["mounts"]], scratch)
    root = os.open(scratch, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = open_in_root(root, os.fsencode(request["path"]), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return {"found": False}
        raise
    source = Place(Anchor(found))
    enter_nothing(scratch)
    shut_in(job, {found, target.anchor.fd}, SETTLE | {confine.CAP_MKNOD})
    copy_places(source, target)
    _sync(target.anchor.fd)
    return {"found": True}


def pack(request: dict[str, Any], job: socket.socket, out: int) -> dict[str, Any]:
    """Write a tree as a tar to ``out``."""
    source = Place.top(request["source"])
    enter_nothing(request["scratch"])
    shut_in(job, {source.anchor.fd, out}, {confine.CAP_DAC_OVERRIDE, confine.CAP_DAC_READ_SEARCH})
    sink = Sink(out, request["compression"])
    Packer(sink).run(source)
    sink.close()
    return {"size": sink.size}


def unpack(request: dict[str, Any], job: socket.socket, blob: int) -> dict[str, Any]:
    """Extract a tar over a tree: what it holds replaces what is there, everything else stays."""
    root = os.open(request["target"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    confine.private_mounts()
    mount(request["target"], request["target"], "", _MS_BIND)
    confine.enter_root(request["target"])
    shut_in(job, {blob, root}, SETTLE | {confine.CAP_MKNOD})
    limits = Limits(**request.get("limits", {}))
    pipeline = Pipeline(blob, None, limits)
    stream = ByteStream(pipeline.next_piece)
    reader = TarReader(stream, limits)
    extractor = TreeExtractor(root)
    extractor.apply(reader)
    stream.drain()
    pipeline.result()
    if extractor.top is not None:
        dress(root, extractor.top)
    _sync(root)
    return {"size": pipeline.size, "entries": reader.entries}


OPERATIONS: dict[str, Operation] = {"copy": copy, "copy-up": copy_up, "pack": pack, "unpack": unpack}
"""For ``worker.main``."""


def enter_nothing(scratch: str) -> None:
    """Make a root that holds our own descriptors' names and nothing else. Raises OSError."""
    confine.private_mounts()
    mount("tmpfs", scratch, "tmpfs", 0, "mode=0700,size=64k")
    os.makedirs(scratch + _FD)
    mount(_FD, scratch + _FD, "", _MS_BIND)
    confine.enter_root(scratch)


def _sync(fd: int) -> None:
    if libc.syncfs(fd) < 0:
        raise oserror("sync filesystem")


class TreeExtractor(Extractor):
    """Takes every name as it is; ``top`` keeps the looks of the tree's own top, which a layer has no say in."""

    top: Meta | None = None

    def _apply(self, entry: tr.Entry) -> None:
        if clean(entry.name):
            super()._apply(entry)
        elif entry.kind == tr.DIRECTORY:
            self.top = Meta(entry.mode, entry.uid, entry.gid, max(entry.mtime, 0), entry.xattrs)

    def _whiteout(self, entry: tr.Entry, parent: bytes, base: bytes) -> None:
        """A name that begins so is a name like any other here."""
        path = parent + b"/" + base if parent else base
        self._make[entry.kind](entry, path, self._dirs.open(parent), base)


class Packer:
    """Walks a tree and writes its members; names in byte order, so that the same tree gives the same archive."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._links: dict[tuple[int, int], bytes] = {}

    def run(self, top: Place) -> None:
        """Write everything from the top down. Raises OSError."""
        pending = [(top, b"./")]
        while pending:
            place, path = pending.pop()
            try:
                fd = place.open()
            except OSError as error:
                if error.errno in _GONE:
                    continue
                raise
            try:
                if path == b"./":
                    self._write(path, os.fstat(fd), f"{_FD}/{fd}")
                with os.scandir(fd) as scan:
                    entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
                inner = [entry.name for entry in entries if self._member(path, entry, fd)]
                pending += [(place.child(name, fd), path + os.fsencode(name) + b"/") for name in inner]
            finally:
                os.close(fd)
        self._sink.write(tarwriter.END)

    def single(self, directory: int, name: str) -> None:
        """Write the one entry ``name`` of an open directory, which is no directory itself. Raises OSError."""
        with os.scandir(directory) as scan:
            found = [entry for entry in scan if entry.name == name]
        for entry in found:
            self._member(b"./", entry, directory)
        self._sink.write(tarwriter.END)

    def _member(self, parent: bytes, entry: os.DirEntry[str], directory: int) -> bool:
        """Write one entry; say whether it is a directory. What vanished meanwhile is left out, and so are sockets."""
        path, descriptor = parent + os.fsencode(entry.name), -1
        try:
            found = entry.stat(follow_symlinks=False)
            if stat.S_IFMT(found.st_mode) not in _KINDS:
                return False
            if stat.S_ISREG(found.st_mode):
                descriptor = os.open(entry.name, _READ, dir_fd=directory)
                found = os.fstat(descriptor)
            link = _link(entry.name, directory) if stat.S_ISLNK(found.st_mode) else b""
            self._write(path, found, f"{_FD}/{directory}/{entry.name}", link, descriptor)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return False
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return stat.S_ISDIR(found.st_mode)

    def _write(self, path: bytes, found: os.stat_result, place: str, link: bytes = b"", descriptor: int = -1) -> None:
        kind, device = _KINDS[stat.S_IFMT(found.st_mode)], (0, 0)
        if found.st_nlink > 1 and kind != tr.DIRECTORY:
            first = self._links.setdefault((found.st_dev, found.st_ino), path)
            if first != path:
                kind, link = tr.LINK, first
        if kind in {tr.CHARACTER, tr.BLOCK_DEVICE}:
            device = (os.major(found.st_rdev), os.minor(found.st_rdev))
        size = found.st_size if kind == tr.REGULAR else 0
        self._sink.write(
            tarwriter.member(
                path if path == b"./" or kind != tr.DIRECTORY else path + b"/",
                kind,
                mode=stat.S_IMODE(found.st_mode),
                uid=found.st_uid,
                gid=found.st_gid,
                size=size,
                mtime=found.st_mtime_ns // 10**9,
                link=link,
                device=device,
                xattrs=None if kind == tr.LINK else _xattrs(place, follow=path == b"./"),
            )
        )
        if size:
            self._content(descriptor, size)

    def _content(self, descriptor: int, size: int) -> None:
        """Exactly ``size`` bytes: a file that shrinks meanwhile is filled up, one that grows is cut."""
        left = size
        while left:
            piece = os.read(descriptor, min(left, _PIECE)) or bytes(min(left, _PIECE))
            self._sink.write(piece)
            left -= len(piece)
        self._sink.write(tarwriter.padding(size))


def _link(name: str, directory: int) -> bytes:
    """Where a symbolic link leads. Raises FileNotFoundError when something else has taken its place meanwhile."""
    try:
        return os.fsencode(os.readlink(name, dir_fd=directory))
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None
        raise


def _xattrs(place: str, *, follow: bool) -> dict[bytes, bytes]:
    """The attributes that mean something elsewhere: the users' own, capabilities, access control lists."""
    found: dict[bytes, bytes] = {}
    try:
        for name in os.listxattr(place, follow_symlinks=follow):
            if name.startswith(("user.", "system.posix_acl_")) or name == "security.capability":
                found[os.fsencode(name)] = os.getxattr(place, name, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.ENODATA, errno.ENOENT}:
            raise
    return found
