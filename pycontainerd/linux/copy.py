"""Whole trees copied with everything that makes them what they are.

Owners, modes, times, extended attributes (file capabilities too), hard links, symbolic links, devices, fifos and holes
come along; file data is shared with the source where the filesystem can (reflink) and copied inside the kernel
otherwise. The source is walked as `tree` does it: nothing outside is ever read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from pycontainerd.linux.tree import Anchor, Place

_FICLONE = 0x40049409
_CHUNK = 1 << 20
_NOT_HERE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM)
_OPTIONAL = ("system.", "security.selinux")
"""Attributes that a filesystem may refuse without harm: ACLs it does not know, labels of a policy not loaded."""


def copy_tree(source: str, target: str) -> None:
    """Copy what is in the directory ``source`` into ``target``, which exists and is empty; its own attributes too.

    Raises OSError naming the path; what was copied until then stays.
    """
    copy_places(Place.top(source), Place.top(target))


def copy_places(source: Place, target: Place) -> None:
    """As `copy_tree`, for trees that are open already. Attributes of links and devices are read under /proc/self/fd."""
    links: dict[tuple[int, int], tuple[Anchor, str]] = {}
    finished: list[tuple[Place, Place]] = []
    pending = [(source, target)]
    while pending:
        place, mine = pending.pop()
        finished.append((place, mine))
        fd, out = place.open(), mine.open()
        try:
            with os.scandir(fd) as scan:
                entries = list(scan)
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    os.mkdir(entry.name, 0o700, dir_fd=out)
                    pending.append((place.child(entry.name, fd), mine.child(entry.name, out)))
                else:
                    _copy_entry(entry, fd, out, links, mine)
        finally:
            os.close(fd)
            os.close(out)
    for place, mine in reversed(finished):  # children first: making them changed the times of their parents
        _copy_directory_attributes(place, mine)


def _copy_directory_attributes(place: Place, mine: Place) -> None:
    fd, out = place.open(), mine.open()
    try:
        found = os.fstat(fd)
        os.fchown(out, found.st_uid, found.st_gid)
        copy_xattrs(fd, out)
        os.fchmod(out, stat.S_IMODE(found.st_mode))
        os.utime(out, ns=(found.st_atime_ns, found.st_mtime_ns))
    finally:
        os.close(fd)
        os.close(out)


def _copy_entry(
    entry: os.DirEntry[str], fd: int, out: int, links: dict[tuple[int, int], tuple[Anchor, str]], mine: Place
) -> None:
    """Copy one entry that is no directory."""
    found = entry.stat(follow_symlinks=False)
    if found.st_nlink > 1:
        key = (found.st_dev, found.st_ino)
        if key in links:
            anchor, path = links[key]
            os.link(path, entry.name, src_dir_fd=anchor.fd, dst_dir_fd=out, follow_symlinks=False)
            return
        links[key] = (mine.anchor, f"{mine.path}/{entry.name}" if mine.path else entry.name)
    if stat.S_ISREG(found.st_mode):
        _copy_file(entry.name, fd, out, found)
        return
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(entry.name, dir_fd=fd), entry.name, dir_fd=out)
    else:
        os.mknod(entry.name, found.st_mode, found.st_rdev, dir_fd=out)
    os.chown(entry.name, found.st_uid, found.st_gid, dir_fd=out, follow_symlinks=False)
    copy_xattrs(f"/proc/self/fd/{fd}/{entry.name}", f"/proc/self/fd/{out}/{entry.name}", follow=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(entry.name, stat.S_IMODE(found.st_mode), dir_fd=out)
    times = (found.st_atime_ns, found.st_mtime_ns)
    os.utime(entry.name, ns=times, dir_fd=out, follow_symlinks=False)


def _copy_file(name: str, fd: int, out: int, found: os.stat_result) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=fd)
    try:
        target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=out)
        try:
            if found.st_size:
                copy_data(source, target, found.st_size)
            os.fchown(target, found.st_uid, found.st_gid)  # before the rest: it clears set-id bits and capabilities
            copy_xattrs(source, target)
            os.fchmod(target, stat.S_IMODE(found.st_mode))
            os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
        finally:
            os.close(target)
    finally:
        os.close(source)


def copy_data(source: int, target: int, size: int) -> None:
    """Copy ``size`` bytes between files, both from their start; holes stay holes, shared blocks are shared."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # only a hole is left
        end = min(os.lseek(source, at, os.SEEK_HOLE), size)
        _copy_range(source, target, at, end)
        at = end


def _copy_range(source: int, target: int, at: int, end: int) -> None:
    """Copy the bytes [at, end); a source that was cut meanwhile ends it early."""
    in_kernel = True
    while at < end:
        if in_kernel:
            try:
                count = os.copy_file_range(source, target, end - at, at, at)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                in_kernel = False
                continue
        else:
            count = os.pwrite(target, os.pread(source, min(_CHUNK, end - at), at), at)
        if count == 0:
            return
        at += count


def copy_xattrs(source: int | str, target: int | str, *, follow: bool = True) -> None:
    """Copy all extended attributes between descriptors or paths. Raises OSError when one that matters is refused."""
    try:
        names = os.listxattr(source, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return
        raise
    for name in names:
        try:
            value = os.getxattr(source, name, follow_symlinks=follow)
            os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno == errno.ENODATA or name.startswith(_OPTIONAL):
                continue
            raise OSError(error.errno, f"extended attribute {name}: {error.strerror}", str(target)) from None
