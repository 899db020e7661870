"""Idmapped mounts (mount_setattr(2), Linux 5.12; below overlay Linux 5.19): `uidmap=` and `gidmap=` in mount options.

Values are `container:host:count`, several joined by `,`. The files on disk belong to the container side's ids and
appear as the host side's. A bind mount is idmapped itself; of an overlay the lower directories are, since the upper one
is written with the ids of the container's user namespace already.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

from pycontainerd.linux.libc import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, encode, syscall
from pycontainerd.linux.mountcall import MNT_DETACH, mount_overlay, unmount
from pycontainerd.linux.mountopts import MS_BIND, MS_REC, common_directory, overlay_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.linux.mountopts import MountLike, Options

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x00100000

_HOLDER = """\
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
os.write(1, b"+" if libc.unshare(0x10000000) == 0 else b"-")
os.read(0, 1)
"""


def parse_map(text: str) -> str:
    """A `container:host:count[,…]` list as the lines /proc/PID/uid_map takes. Raises OSError(EINVAL)."""
    lines = []
    for part in text.split(","):
        numbers = part.split(":")
        if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise OSError(errno.EINVAL, "id mapping is not container:host:count", text)
        lines.append(" ".join(numbers))
    return "\n".join(lines) + "\n"


def user_namespace(uidmap: str, gidmap: str) -> int:
    """A descriptor of a new user namespace with these mappings; the caller closes it.

    The namespace is made by a small child process: a process with threads can neither unshare one nor fork safely.
    """
    uid_lines, gid_lines = parse_map(uidmap), parse_map(gidmap)
    answer, its_stdout = os.pipe2(os.O_CLOEXEC)
    its_stdin, release = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _HOLDER],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, its_stdin, 0), (os.POSIX_SPAWN_DUP2, its_stdout, 1)],
        )
        try:
            os.close(its_stdout)
            its_stdout = -1
            if os.read(answer, 1) != b"+":
                raise OSError(errno.EPERM, "the kernel gives no user namespace (see user.max_user_namespaces)")
            _write(f"/proc/{child}/uid_map", uid_lines)
            _write(f"/proc/{child}/gid_map", gid_lines)
            return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(release)
            release = -1
            os.waitpid(child, 0)
    finally:
        for descriptor in (answer, its_stdout, its_stdin, release):
            if descriptor >= 0:
                os.close(descriptor)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"id mapping refused: {error.strerror}", path) from None
    finally:
        os.close(descriptor)


def bind_idmapped(source: str, target: str, namespace: int, *, recursive: bool = False) -> None:
    """Bind ``source`` on ``target`` with the mappings of a user namespace. Raises OSError; leaves nothing then."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    tree = syscall("clone mount", _SYS_OPEN_TREE, AT_FDCWD, encode(source), flags, path=source)
    try:
        attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_IDMAP, 0, 0, namespace)
        where = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
        pointer = ctypes.byref(attributes)
        syscall("map the ids of a mount", _SYS_MOUNT_SETATTR, tree, b"", where, pointer, 32, path=source)
        place = encode(target)
        syscall("attach mount", _SYS_MOVE_MOUNT, tree, b"", AT_FDCWD, place, _MOVE_MOUNT_F_EMPTY_PATH, path=target)
    finally:
        os.close(tree)


def mount_idmapped(item: MountLike, options: Options, target: str) -> None:
    """The first call of an idmapped bind or overlay mount; flags and propagation follow as for any other."""
    if item.type != "overlay" and item.type != "bind" and not options.flags & MS_BIND:
        raise OSError(errno.EINVAL, f"uidmap= is for bind and overlay mounts, not for {item.type!r}", target)
    namespace = user_namespace(options.uidmap, options.gidmap)
    try:
        if item.type != "overlay":
            options.flags |= MS_BIND
            bind_idmapped(item.source, target, namespace, recursive=bool(options.flags & MS_REC))
            return
        lower, rest = overlay_layers(options.data)
        parent = common_directory(lower)
        if not parent:
            raise OSError(errno.EINVAL, "lower directories of an idmapped overlay must be absolute", target)
        place = f"{target.rstrip('/')}.lower-{os.getpid()}"
        os.mkdir(place, 0o700)
        try:
            bind_idmapped(parent, place, namespace)
            try:
                # the overlay keeps clones of its layers' mounts, so this one may go as soon as it stands
                moved = ":".join(place + path[len(parent.rstrip("/")) :] for path in lower)
                mount_overlay(item.source, target, options.flags, [f"lowerdir={moved}", *rest])
            finally:
                unmount(place, MNT_DETACH)
        finally:
            os.rmdir(place)
    finally:
        os.close(namespace)
