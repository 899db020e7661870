"""Applying a layer's entries to a directory (OCI image-spec, layer.md), by raw system calls on directory descriptors.

Nothing outside the root is reachable: every path is walked component by component with ``O_NOFOLLOW``, symbolic links
on the way are resolved here as if the root were ``/`` (what the peers do), names and links that climb above the root
are refused, and files are only ever created (``O_EXCL``), never opened. The process around this is confined besides.

What is there already is replaced, except that a directory over a directory merges. A directory's mode, owner, times and
attributes are set at the end, when nothing is written into it any more. Whiteouts become deletions, or overlayfs's own
markers when the directory is an overlay's upper one.
"""

from __future__ import annotations

import errno
import os
import stat

from pycontainerd.images.layerdirs import Directories, Meta, setxattrs
from pycontainerd.images.tarreader import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    LINK,
    REGULAR,
    SYMLINK,
)
from pycontainerd.images.tarstream import TarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycontainerd.images.tarreader import Entry, TarReader

WHITEOUT = b".wh."
META = b".wh..wh."
OPAQUE = b".wh..wh..opq"
MAX_PATH = 4096
_MAX_ID = (1 << 32) - 2  # the last one means "leave as it is" to chown(2)
_MAX_TIME = (1 << 62) - 1
_SMALL = 1 << 16
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Extractor:
    """Applies one archive below ``root``.

    ``overlay`` writes overlayfs whiteouts (``userxattr`` for an overlay mounted with that option); ``parents`` are
    descriptors of the lower directories, nearest first, from which implied directories take their looks. Afterwards
    ``implied`` names those that found no such model, for a caller who learns the parents only later.
    """

    def __init__(
        self, root: int, *, overlay: bool = False, userxattr: bool = False, parents: Sequence[int] = ()
    ) -> None:
        self._dirs = Directories(root, parents)
        self._overlay = overlay
        self._opaque = b"user.overlay.opaque" if userxattr else b"trusted.overlay.opaque"
        self._seen: set[bytes] = set()
        self._make = {
            REGULAR: self._regular,
            DIRECTORY: self._directory,
            SYMLINK: self._symlink,
            LINK: self._link,
            CHARACTER: self._node,
            BLOCK_DEVICE: self._node,
            FIFO: self._node,
        }
        self._reader: TarReader | None = None

    @property
    def implied(self) -> list[bytes]:
        """Directories that only other entries' names implied, for which no parent had a model."""
        return self._dirs.implied

    def apply(self, reader: TarReader) -> None:
        """Extract everything. Raises TarError (with the entry's name), OSError for the system's own troubles."""
        self._reader = reader
        for entry in reader:
            try:
                self._apply(entry)
            except TarError as error:
                raise TarError(f"entry {shown(entry.name)}: {error}") from None
            except OSError as error:
                raise _judge(error, entry) from None
        self._dirs.finish()

    def _apply(self, entry: Entry) -> None:
        path = clean(entry.name)
        if not path:
            return  # the root itself keeps what the snapshotter gave it, as with the peers
        if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
            raise TarError("its owner is out of range")
        if not 0 <= entry.mtime <= _MAX_TIME:
            entry.mtime = 0
        parent, _, base = path.rpartition(b"/")
        if base.startswith(WHITEOUT):
            self._whiteout(entry, parent, base)
            return
        self._make[entry.kind](entry, path, self._dirs.open(parent), base)
        if not self._overlay:
            self._seen.add(path)

    def _regular(self, entry: Entry, path: bytes, directory: int, base: bytes) -> None:
        mode = entry.mode
        try:
            fd = os.open(base, _CREATE, mode & 0o777, dir_fd=directory)
        except FileExistsError:
            self._dirs.remove(directory, base, path)
            fd = os.open(base, _CREATE, mode & 0o777, dir_fd=directory)
        try:
            if entry.stored or entry.runs is not None:
                self._write(fd, entry)
            if entry.uid or entry.gid or self._dirs.setgid:
                os.fchown(fd, entry.uid, entry.gid)
            if mode & 0o7000:
                os.fchmod(fd, mode)  # after the owner: chown takes set-id bits away
            if entry.xattrs:
                setxattrs(fd, entry.xattrs)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _write(self, fd: int, entry: Entry) -> None:
        """Copy the stored bytes to where they belong; holes stay holes."""
        reader = self._reader
        assert reader is not None
        if entry.runs is None:
            if entry.stored <= _SMALL:
                write_all(fd, reader.data())
            else:
                for piece in reader.pieces():
                    write_all(fd, piece)
            return
        runs = iter(entry.runs)
        left = 0
        for piece in reader.pieces():
            while piece:
                if not left:
                    offset, left = next(runs)
                    os.lseek(fd, offset, os.SEEK_SET)
                part = piece[:left]
                write_all(fd, part)
                left -= len(part)
                piece = piece[len(part) :]
        os.ftruncate(fd, entry.size)

    def _directory(self, entry: Entry, path: bytes, directory: int, base: bytes) -> None:
        meta = Meta(entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs)
        try:
            os.mkdir(base, 0o755, dir_fd=directory)
        except FileExistsError:
            there = os.stat(base, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISDIR(there.st_mode):
                self._dirs.remove(directory, base, path)
                os.mkdir(base, 0o755, dir_fd=directory)
                if self._overlay and stat.S_ISCHR(there.st_mode) and not there.st_rdev:
                    self._make_opaque(path)  # deleted and made anew in one layer: it must not merge with the old one
        self._dirs.later(path, meta)

    def _symlink(self, entry: Entry, path: bytes, directory: int, base: bytes) -> None:
        if not entry.link or b"\0" in entry.link or len(entry.link) >= MAX_PATH:
            raise TarError("it is a symbolic link with no target, or one too long")
        try:
            os.symlink(entry.link, base, dir_fd=directory)
        except FileExistsError:
            self._dirs.remove(directory, base, path)
            os.symlink(entry.link, base, dir_fd=directory)
        self._settle(entry, directory, base)

    def _link(self, entry: Entry, path: bytes, directory: int, base: bytes) -> None:
        """A hard link; owner, mode and times came with the file it names."""
        target = clean(entry.link)
        parent, _, name = target.rpartition(b"/")
        if not name or target == path:
            raise TarError("it is a hard link to itself or to nothing")
        try:
            source = self._dirs.find(parent)
        except FileNotFoundError:
            raise TarError(f"it is a hard link to {shown(target)}, which is not there") from None
        source = os.dup(source)  # opening the next directory may push this one out of the cache
        try:
            directory = self._dirs.open(path.rpartition(b"/")[0])
            try:
                os.link(name, base, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                same = os.path.samestat(
                    os.stat(name, dir_fd=source, follow_symlinks=False),
                    os.stat(base, dir_fd=directory, follow_symlinks=False),
                )
                if not same:
                    self._dirs.remove(directory, base, path)
                    os.link(name, base, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            raise TarError(f"it is a hard link to {shown(target)}, which is not there") from None
        except PermissionError:
            raise TarError(f"it is a hard link to {shown(target)}, which is a directory") from None
        finally:
            os.close(source)

    def _node(self, entry: Entry, path: bytes, directory: int, base: bytes) -> None:
        kind = {CHARACTER: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}[entry.kind]
        device = 0
        if entry.kind != FIFO:
            if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
                raise TarError("its device number is out of range")
            device = os.makedev(entry.major, entry.minor)
        mode = kind | (entry.mode & 0o777)
        try:
            os.mknod(base, mode, device, dir_fd=directory)
        except FileExistsError:
            self._dirs.remove(directory, base, path)
            os.mknod(base, mode, device, dir_fd=directory)
        self._settle(entry, directory, base)

    def _settle(self, entry: Entry, directory: int, base: bytes) -> None:
        """Owner, special bits, attributes and times of what is no regular file and no directory."""
        if entry.uid or entry.gid or self._dirs.setgid:
            os.chown(base, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
        if entry.kind != SYMLINK and entry.mode & 0o7000:
            os.chmod(base, entry.mode, dir_fd=directory)  # safe: the node was created a moment ago by this process
        if entry.xattrs:
            os.fchdir(directory)
            setxattrs(base, entry.xattrs)
        os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=directory, follow_symlinks=False)

    def _whiteout(self, entry: Entry, parent: bytes, base: bytes) -> None:
        if base == OPAQUE:
            self._make_opaque(parent)
            return
        if base.startswith(META):
            return  # AUFS's own book-keeping
        name = base[len(WHITEOUT) :]
        if name in {b"", b".", b".."}:
            raise TarError("it is a whiteout of no name")
        path = parent + b"/" + name if parent else name
        directory = self._dirs.open(parent)
        if self._overlay:
            try:
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=directory)
                os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                # made by this layer; a whiteout speaks of the layers below, which it hides already unless it merges
                if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                    self._make_opaque(path)
        elif path not in self._seen:
            self._dirs.remove(directory, name, path, missing_ok=True)
        else:
            self._prune(path)

    def _make_opaque(self, path: bytes) -> None:
        """Hide what the layers below have in the directory ``path``."""
        if self._overlay:
            os.fchdir(self._dirs.open(path))
            os.setxattr(b".", self._opaque, b"y")
        else:
            self._prune(path)

    def _prune(self, path: bytes) -> None:
        """Delete what lies below ``path`` and did not come from this layer."""
        try:
            directory = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._dirs.find(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            for name in os.listdir(directory):
                raw = os.fsencode(name)
                below = path + b"/" + raw if path else raw
                if below not in self._seen:
                    self._dirs.remove(directory, raw, below)
                elif stat.S_ISDIR(os.stat(raw, dir_fd=directory, follow_symlinks=False).st_mode):
                    self._prune(below)
        finally:
            os.close(directory)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write it all, however often the kernel takes less."""
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def clean(name: bytes) -> bytes:
    """A member name as a path below the root without ``.``, ``..`` and doubled slashes; empty for the root itself.

    A leading slash is dropped, as the peers do (images made by ko have one). Raises TarError for a name that climbs
    above the root, is too long or holds a NUL.
    """
    if len(name) >= MAX_PATH:
        raise TarError("its name is longer than a path may be")
    if name[:2] == b"./":
        name = name[2:]
    if name[-1:] == b"/":
        name = name[:-1]
    if b"/." not in name and b"//" not in name and name[:1] not in {b"/", b".", b""} and b"\0" not in name:
        return name
    if b"\0" in name:
        raise TarError("its name holds a NUL byte")
    return b"/".join(_climb(name.split(b"/")))


def _climb(parts: Iterable[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    for part in parts:
        if part == b"..":
            if not kept:
                raise TarError("its path leaves the root by '..'")
            kept.pop()
        elif part and part != b".":
            kept.append(part)
    return kept


def shown(name: bytes) -> str:
    """A name for an error message: quoted, escaped, cut."""
    text = name[:200].decode("utf-8", "backslashreplace")
    return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + ('…"' if len(name) > 200 else '"')


_BAD_ARCHIVE = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.EMLINK, errno.EFBIG}


def _judge(error: OSError, entry: Entry) -> Exception:
    """Whose fault a failed call is: the archive's (TarError) or the system's (OSError naming the entry)."""
    if error.errno in _BAD_ARCHIVE:
        return TarError(f"entry {shown(entry.name)}: {os.strerror(error.errno).lower()}")
    return OSError(error.errno, f"entry {shown(entry.name)}: {os.strerror(error.errno or 0).lower()}")
