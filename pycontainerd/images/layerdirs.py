"""The directories of an extraction: found, made, cached, removed, and dressed at the end.

A path is walked component by component with ``O_NOFOLLOW``. Where a component is a symbolic link, its target is taken
as a path inside the root; a relative link that climbs out is refused, and so is an absolute one that names nothing
here. Descriptors of recent directories are kept, since neighbours in an archive mostly share theirs.
"""

from __future__ import annotations

import errno
import os
import stat

from pycontainerd.images.tarstream import TarError
from pycontainerd.linux.openat2 import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CACHE = 64
_MAX_LINKS = 40
_MAX_DEPTH = 2048


class Meta:
    """What a directory shall look like; ``mtime`` in nanoseconds."""

    __slots__ = ("gid", "mode", "mtime", "uid", "xattrs")

    def __init__(self, mode: int, uid: int, gid: int, mtime: int, xattrs: Mapping[bytes, bytes] | None) -> None:
        self.mode, self.uid, self.gid, self.mtime, self.xattrs = mode, uid, gid, mtime, xattrs


class Directories:
    """Directory descriptors below ``root``, by path; ``parents`` are descriptors of lower layers, nearest first."""

    def __init__(self, root: int, parents: Sequence[int] = ()) -> None:
        self._root = root
        self._parents = parents
        self._cache: dict[bytes, int] = {}
        self._later: dict[bytes, Meta] = {}
        self.implied: list[bytes] = []
        # a set-group-id directory hands its group to what is made in it; watched so that chown can be left out else
        self.setgid = bool(os.fstat(root).st_mode & stat.S_ISGID)

    def open(self, path: bytes) -> int:
        """A descriptor (ours; do not close) of the directory, made with what leads to it when missing."""
        found = self._cache.get(path)
        return self._walk(path, make=True) if found is None else found

    def find(self, path: bytes) -> int:
        """As ``open``, but nothing is made. Raises FileNotFoundError, NotADirectoryError."""
        found = self._cache.get(path)
        return self._walk(path, make=False) if found is None else found

    def _walk(self, path: bytes, make: bool) -> int:
        """Resolve component by component. ``real`` is where we are, free of links; only such paths are cached."""
        if not path:
            return self._root
        pending = path.split(b"/")[::-1]
        real: list[bytes] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == b"..":
                if not real:
                    raise TarError("its path follows a symbolic link out of the root")
                real.pop()
                continue
            here = b"/".join([*real, part])
            if here in self._cache or self._step(self._at(real), part, here, make):
                real.append(part)
                continue
            links += 1
            if links > _MAX_LINKS or len(pending) + len(real) > _MAX_DEPTH:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = self._target(self._at(real), part, make)
            if target.startswith(b"/"):
                real = []
            pending += [each for each in target.split(b"/")[::-1] if each not in {b"", b"."}]
        return self._at(real)

    def _at(self, real: list[bytes]) -> int:
        """The descriptor of a path that is known to have no links in it."""
        path = b"/".join(real)
        found = self._cache.get(path)
        return self._walk(path, make=False) if found is None else found

    def _step(self, directory: int, base: bytes, path: bytes, make: bool) -> bool:
        """Open one component into the cache; False when it is no directory (a link, most likely)."""
        try:
            fd = os.open(base, _OPEN, dir_fd=directory)
        except FileNotFoundError:
            if not make:
                raise
            self._imply(directory, base, path)
            fd = os.open(base, _OPEN, dir_fd=directory)
        except OSError as error:
            if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            return False
        self._remember(path, fd)
        return True

    def _target(self, directory: int, base: bytes, make: bool) -> bytes:
        """Where the symbolic link ``base`` leads. Raises NotADirectoryError when it is none."""
        try:
            target = os.readlink(base, dir_fd=directory)
        except OSError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        if target.startswith(b"/") and make and not self._known(target.strip(b"/")):
            raise TarError("its path follows a symbolic link to an absolute path that is not in the image")
        return target

    def _known(self, path: bytes) -> bool:
        """Whether a directory of the image, here or in a parent layer, has this path."""
        try:
            self._walk(b"/".join(part for part in path.split(b"/") if part not in {b"", b"."}), make=False)
        except OSError:
            return self._model(path) is not None
        return True

    def _remember(self, path: bytes, fd: int) -> None:
        if len(self._cache) >= _CACHE:
            self._forget(next(iter(self._cache)))
        self._cache[path] = fd
        if not self.setgid and os.fstat(fd).st_mode & stat.S_ISGID:
            self.setgid = True

    def _forget(self, path: bytes) -> None:
        os.close(self._cache.pop(path))

    def _imply(self, directory: int, base: bytes, path: bytes) -> None:
        """Make a directory that no entry described; it looks as in the nearest parent layer that has it."""
        os.mkdir(base, 0o755, dir_fd=directory)
        model = self._model(path)
        if model is None:
            self.implied.append(path)
        else:
            self._later[path] = model

    def _model(self, path: bytes) -> Meta | None:
        for parent in self._parents:
            try:
                fd = open_in_root(parent, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            except OSError:
                return None  # replaced by something else in that layer: nothing below it counts
            try:
                return looks(fd)
            finally:
                os.close(fd)
        return None

    def model(self, paths: Sequence[bytes]) -> None:
        """Have directories that exist dressed as the nearest parent layer has them."""
        for path in paths:
            found = self._model(path)
            if found is not None:
                self._later[path] = found

    def later(self, path: bytes, meta: Meta) -> None:
        """Dress the directory when everything is in place."""
        self._later.pop(path, None)
        self._later[path] = meta

    def remove(self, directory: int, base: bytes, path: bytes, *, missing_ok: bool = False) -> None:
        """Delete whatever ``base`` is in ``directory``, with what is below it."""
        below = path + b"/"
        stale = [cached for cached in self._cache if cached == path or cached.startswith(below)]
        try:
            os.unlink(base, dir_fd=directory)
        except FileNotFoundError:
            if not missing_ok:
                raise
        except (IsADirectoryError, PermissionError):
            remove_tree(directory, base)
        for cached in stale:
            if self._cache[cached] != directory:
                self._forget(cached)

    def finish(self) -> None:
        """Set modes, owners, attributes and times of all directories that were named or modelled."""
        for path, meta in reversed(self._later.items()):
            parent, _, base = path.rpartition(b"/")
            try:
                fd = os.open(base, _READ, dir_fd=self.find(parent))
            except OSError as error:
                if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                    raise
                continue  # replaced by a later entry
            try:
                dress(fd, meta)
            finally:
                os.close(fd)
        self._later.clear()
        for path in list(self._cache):
            self._forget(path)


def looks(fd: int) -> Meta:
    """What an open directory looks like."""
    st = os.fstat(fd)
    xattrs = {os.fsencode(key): os.getxattr(fd, key) for key in os.listxattr(fd)}
    return Meta(stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns, xattrs)


def dress(fd: int, meta: Meta) -> None:
    """Make an open directory look so."""
    os.fchown(fd, meta.uid, meta.gid)
    os.fchmod(fd, meta.mode)
    if meta.xattrs:
        setxattrs(fd, meta.xattrs)
    os.utime(fd, ns=(meta.mtime, meta.mtime))


def setxattrs(target: int | bytes, xattrs: Mapping[bytes, bytes]) -> None:
    """Set extended attributes. Those of administration and of overlayfs are left out, for they would change how layers
    are joined; so are those that the filesystem or the kind of file cannot hold, as the peers do."""
    follow = isinstance(target, int)
    for key, value in xattrs.items():
        if key.startswith((b"trusted.", b"user.overlay.")):
            continue
        try:
            os.setxattr(target, key, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno == errno.ENOTSUP or (error.errno == errno.EPERM and _optional(key, follow)):
                continue
            if error.errno in {errno.EINVAL, errno.ERANGE, errno.E2BIG}:
                raise TarError("it has an extended attribute that the kernel refuses") from None
            raise


def _optional(key: bytes, plain: bool) -> bool:
    """Whether a refused attribute is no loss: user ones on special files, labels of a security module not in use."""
    return (key.startswith(b"user.") and not plain) or (key.startswith(b"security.") and key != b"security.capability")


def remove_tree(directory: int, base: bytes) -> None:
    """Delete a directory and all below it, never following a link. Iterative: depth is the archive's to choose."""
    stack = [(os.dup(directory), base)]
    try:
        while stack:
            parent, name = stack[-1]
            try:
                os.rmdir(name, dir_fd=parent)
            except NotADirectoryError:
                os.unlink(name, dir_fd=parent)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                fd, left = _clear(parent, name)
                if left:
                    stack.append((fd, left))
                else:
                    os.close(fd)
                continue
            os.close(stack.pop()[0])
    finally:
        for fd, _ in stack:
            os.close(fd)


def _clear(parent: int, name: bytes) -> tuple[int, bytes]:
    """Delete the files of a directory; return its descriptor and the name of one directory left in it, if any."""
    fd = os.open(name, _READ, dir_fd=parent)
    left = b""
    try:
        for entry in os.listdir(fd):
            raw = os.fsencode(entry)
            try:
                os.unlink(raw, dir_fd=fd)
            except (IsADirectoryError, PermissionError):
                left = raw
    except BaseException:
        os.close(fd)
        raise
    return fd, left
