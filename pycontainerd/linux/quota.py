"""Project quotas (quotactl(2), ioctl_fsgetxattr(2)): a limit on what one directory tree may hold, on ext4 and XFS.

A directory carries a project id that everything made below it inherits; the filesystem adds up the blocks by id and
refuses more than the id's limit with EDQUOT. That works where the filesystem was made and mounted for it (ext4: feature
`project` and mount option `prjquota`; XFS: `prjquota`) and nowhere else, so ask `enforced` first.

The kernel exempts whoever has CAP_SYS_RESOURCE, on ext4. Overlayfs drops that capability for writes to its upper
directory; a container has it only when it was given.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

from pycontainerd.linux import mountinfo
from pycontainerd.linux.libc import encode, libc, oserror, syscall

_SYS_QUOTACTL_FD = 443  # Linux 5.14, the same number everywhere
_PROJECT = 2
_GET, _SET, _STATE = 0x800007, 0x800008, 0x5805
_BLOCK_LIMITS = 1
_BLOCK = 1024
_ENFORCED = 1 << 5
_FSGETXATTR, _FSSETXATTR = 0x801C581F, 0x401C5820
_INHERIT = 0x200
_FIRST, _SPAN = 1 << 20, 1 << 30  # away from the small ids that administrators number by hand
_ATTEMPTS = 64


class _Attributes(ctypes.Structure):
    """struct fsxattr of <linux/fs.h>."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("extent", ctypes.c_uint32),
        ("extents", ctypes.c_uint32),
        ("project", ctypes.c_uint32),
        ("cow_extent", ctypes.c_uint32),
        ("pad", ctypes.c_char * 8),
    )


class _Quota(ctypes.Structure):
    """struct if_dqblk of <linux/quota.h>; limits are in blocks of 1 KiB, the space used in bytes."""

    _fields_ = (
        ("hard", ctypes.c_uint64),
        ("soft", ctypes.c_uint64),
        ("space", ctypes.c_uint64),
        ("inodes_hard", ctypes.c_uint64),
        ("inodes_soft", ctypes.c_uint64),
        ("inodes", ctypes.c_uint64),
        ("time", ctypes.c_uint64),
        ("inodes_time", ctypes.c_uint64),
        ("valid", ctypes.c_uint32),
    )


def enforced(path: str) -> bool:
    """Whether the filesystem of the directory ``path`` refuses more than a project's limit."""
    try:
        fd = _open(path)
    except OSError:
        return False
    state = ctypes.create_string_buffer(256)
    try:
        _attributes(fd, path)
        _control(fd, _STATE, 0, state, path)
    except OSError:
        return False
    finally:
        os.close(fd)
    return bool(int.from_bytes(state.raw[2:4], "little") & _ENFORCED)


def limit(path: str, size: int) -> int:
    """Let the tree at ``path`` hold at most ``size`` bytes; return its project id.

    ``path`` is an empty directory, or one that has a project of its own. Raises OSError.
    """
    fd = _open(path)
    try:
        attributes = _attributes(fd, path)
        if not attributes.project:
            attributes.project = _free(fd, path)
            attributes.flags |= _INHERIT
            fcntl.ioctl(fd, _FSSETXATTR, bytes(attributes))
        _set(fd, attributes.project, size, path)
        return int(attributes.project)
    finally:
        os.close(fd)


def project(path: str) -> int:
    """The project id of a directory, 0 for none. Raises OSError where the filesystem knows no such thing."""
    fd = _open(path)
    try:
        return int(_attributes(fd, path).project)
    finally:
        os.close(fd)


def used(path: str) -> tuple[int, int]:
    """Bytes used and allowed (0: no limit) of the project that the directory belongs to. Raises OSError."""
    fd = _open(path)
    try:
        found = _quota(fd, _attributes(fd, path).project, path)
        return int(found.space), int(found.hard) * _BLOCK
    finally:
        os.close(fd)


def release(path: str, project: int) -> None:
    """Forget the limit of a project whose tree is gone; ``path`` is any directory of the filesystem. Raises OSError."""
    fd = _open(path)
    try:
        _set(fd, project, 0, path)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)


def _attributes(fd: int, path: str) -> _Attributes:
    buffer = bytearray(ctypes.sizeof(_Attributes))
    try:
        fcntl.ioctl(fd, _FSGETXATTR, buffer)
    except OSError as error:
        raise OSError(error.errno, f"read project id: {error.strerror}", path) from None
    return _Attributes.from_buffer(buffer)


def _free(fd: int, path: str) -> int:
    """An id without limits and without use: chosen at random, since other programs number theirs too."""
    for _ in range(_ATTEMPTS):
        candidate = _FIRST + int.from_bytes(os.urandom(4), "little") % _SPAN
        found = _quota(fd, candidate, path)
        if not (found.hard or found.soft or found.space or found.inodes):
            return candidate
    raise OSError(errno.EBUSY, f"no free project id in {_ATTEMPTS} attempts", path)


def _quota(fd: int, id: int, path: str) -> _Quota:
    found = _Quota()
    try:
        _control(fd, _GET, id, ctypes.byref(found), path)
    except OSError as error:
        if error.errno != errno.ENOENT:  # XFS: never heard of this id
            raise
    return found


def _set(fd: int, id: int, size: int, path: str) -> None:
    blocks = -(-size // _BLOCK)
    _control(fd, _SET, id, ctypes.byref(_Quota(hard=blocks, soft=blocks, valid=_BLOCK_LIMITS)), path)


def _control(fd: int, command: int, id: int, address: object, path: str) -> None:
    """quotactl_fd(2), or quotactl(2) with the device's node where the kernel is older than 5.14. Raises OSError."""
    combined = command << 8 | _PROJECT
    try:
        syscall("quota", _SYS_QUOTACTL_FD, fd, combined, id, address, path=path)
    except OSError as error:
        if error.errno != errno.ENOSYS or not _old_kernel():
            raise
        device = mountinfo.covering(path).source
        if libc.quotactl(combined, encode(device), id, address) < 0:
            raise oserror("quota", path) from None


def _old_kernel() -> bool:
    """Whether quotactl_fd(2) may be missing; on others ENOSYS means that the filesystem keeps no quota."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(char for char in minor if char.isdigit()) or 0)) < (5, 14)
