"""mount(2) and umount2(2), and the mounts of the API performed on a target.

Callers are the shim (one thread, right before the runtime runs) and daemon threads; nothing is imported but os and
ctypes. Every failure is an OSError with errno and the path concerned.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time

from pycontainerd.linux import idmap, loop, mountinfo
from pycontainerd.linux.libc import encode, syscall
from pycontainerd.linux.mountcall import MNT_DETACH, UMOUNT_NOFOLLOW, mount, mount_overlay, unmount
from pycontainerd.linux.mountopts import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    PER_MOUNT,
    parse_options,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycontainerd.linux.mountopts import MountLike, Options

_SYS_OPENAT2 = 437
_RESOLVE_IN_ROOT_NO_MAGIC = 0x10 | 0x02
_BUSY_RETRIES = 10
_BUSY_PAUSE = 0.01  # seconds; a process that was just killed may hold the mount for some milliseconds


def mount_all(mounts: Iterable[MountLike], target: str) -> None:
    """Perform mounts in order on ``target`` (or below it, where one has a target of its own).

    When one fails those before it are taken off again, and the failure is raised.
    """
    done: list[str] = []
    try:
        for item in mounts:
            done.append(mount_one(item, target))  # noqa: PERF401 - what is done must be known when one fails
    except BaseException:
        for path in reversed(done):
            try:
                unmount(path, UMOUNT_NOFOLLOW | MNT_DETACH)
            except OSError:
                pass  # the first failure is the one to report
        raise


def mount_one(item: MountLike, target: str) -> str:
    """Perform one mount and return the path it is on. Raises OSError and leaves nothing mounted on failure."""
    options = parse_options(item.options)
    path = _beneath(target, item.target) if item.target.strip("/") else target
    if options.uidmap:
        idmap.mount_idmapped(item, options, path)
    elif options.loop:
        device = loop.attach(item.source, read_only=options.read_only)
        try:
            _mount_first(item.type, device.path, path, options)
        finally:
            device.close()  # the mount holds the device; without one it detaches itself
    else:
        _mount_first(item.type, item.source, path, options)
    try:
        finish(path, options)
    except BaseException:
        unmount(path, UMOUNT_NOFOLLOW | MNT_DETACH)
        raise
    return path


def _mount_first(type: str, source: str, target: str, options: Options) -> None:
    """The call that makes the mount (or remounts it); what it cannot express is left to `finish`."""
    data = ",".join(options.data)
    if options.flags & MS_REMOUNT and not data:
        return
    if options.propagation and not (type or source or data or options.flags):
        return
    if type == "overlay":
        mount_overlay(source, target, options.flags, options.data)
    elif options.flags & MS_BIND:
        # a bind mount looks at no filesystem option; `bind` may stand in the type alone, the flag decides
        mount(source, target, "", options.flags & (MS_BIND | MS_REC | MS_REMOUNT))
    elif type == "bind":
        mount(source, target, "", MS_BIND)
        options.flags |= MS_BIND
    else:
        mount(source, target, type, options.flags, data)


def finish(target: str, options: Options) -> None:
    """What takes calls of its own once the mount is there: propagation, and the flags of bind mounts."""
    for change in options.propagation:
        mount("", target, "", change)
    wanted = options.flags & PER_MOUNT
    if options.flags & MS_REMOUNT and not options.data:
        _remount(target, options.flags | MS_REMOUNT)
    elif options.flags & MS_BIND and wanted:
        _remount(target, MS_BIND | MS_REMOUNT | wanted)


def _remount(target: str, flags: int) -> None:
    """Change a mount's flags, keeping those that a user namespace has locked."""
    try:
        mount("", target, "", flags)
    except PermissionError:
        kept = os.statvfs(target).f_flag
        locked = kept & (os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)  # same bits as MS_*
        if not locked & ~flags:
            raise
        mount("", target, "", flags | (locked & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)) | MS_RELATIME)


def _beneath(root: str, path: str) -> str:
    """The real path of ``path`` inside ``root``; symbolic links resolve as if ``root`` were `/`."""
    how = (ctypes.c_uint64 * 3)(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT_NO_MAGIC)
    base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        inside = encode(path.lstrip("/"))
        found = syscall("find mount target", _SYS_OPENAT2, base, inside, ctypes.byref(how), 24, path=f"{root}/{path}")
    finally:
        os.close(base)
    try:
        return os.readlink(f"/proc/self/fd/{found}")
    finally:
        os.close(found)


def unmount_all(target: str, flags: int = 0) -> None:
    """Take off everything that is mounted on ``target`` or below it; nothing mounted, or no such path, is fine.

    A mount that stays busy for a tenth of a second is detached lazily: it disappears from the tree now and is gone for
    good when its last user is. ``flags`` may hold MNT_FORCE or MNT_DETACH.
    """
    seen = False
    for _ in range(_BUSY_RETRIES):
        try:
            while True:
                unmount(target, flags | UMOUNT_NOFOLLOW)
                seen = True
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return
            if error.errno == errno.EINVAL:
                if not seen:  # the table is only read when the quick way found nothing
                    _unmount_below(target, flags)
                return
            if error.errno != errno.EBUSY:
                raise
        if not _unmount_below(target, flags):
            time.sleep(_BUSY_PAUSE)
    _unmount_below(target, flags | MNT_DETACH)
    unmount(target, flags | UMOUNT_NOFOLLOW | MNT_DETACH)


def _unmount_below(target: str, flags: int) -> bool:
    """Unmount what is mounted below ``target``, deepest first; say whether there was anything."""
    points = mountinfo.below(os.path.realpath(target))
    for point in points:
        try:
            unmount(point, flags | UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT, errno.EBUSY):
                raise
    return bool(points)


def make_private(target: str) -> None:
    """Give ``target`` no propagation, itself mounted on itself when it is no mount point yet."""
    if not mountinfo.is_mount_point(target):
        mount(target, target, "", MS_BIND)
    mount("", target, "", MS_PRIVATE)
