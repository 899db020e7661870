"""Named network namespaces: made, entered and dropped by a single-threaded process (the agent).

A namespace has a name by being bind-mounted on a file. It lives as long as that mount, a process in it, or an open
descriptor does. What enters must be the process's only thread: ``setns`` moves the calling thread and no other.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pycontainerd.linux.fds import close
from pycontainerd.linux.libc import libc, oserror
from pycontainerd.linux.mountcall import MNT_DETACH, UMOUNT_NOFOLLOW, mount, unmount
from pycontainerd.linux.mountopts import MS_BIND
from pycontainerd.linux.procfs import open_private

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
SELF = "/proc/thread-self/ns/net"
SETTINGS_LIFE = 200
"""How many settings are written through one instance of procfs."""

_IN_NEW = {"net/ipv4/ip_unprivileged_port_start": "0", "net/ipv4/ping_group_range": "0 2147483647"}
"""What Docker gives containers: low ports and ping without privileges; a namespace is a container's own."""


class Home:
    """The namespace the process belongs in, to which it always returns."""

    def __init__(self) -> None:
        self._home = os.open(SELF, os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """Be in the namespace at ``path`` for the length of a block. Raises OSError."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(descriptor, path)
        finally:
            os.close(descriptor)
        try:
            yield
        finally:
            enter(self._home, "the host's network namespace")

    def create(self, path: str) -> None:
        """Make a namespace at ``path``, with its loopback still down. Raises OSError (EEXIST for a live one)."""
        os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
        if is_namespace(path):
            raise FileExistsError(17, "a network namespace has this name already", path)
        if libc.unshare(ctypes.c_int(CLONE_NEWNET)) != 0:
            raise oserror("cannot make a network namespace")
        try:
            for key, value in _IN_NEW.items():
                write_sysctl(key, value, missing_ok=True)
            mount(SELF, path, flags=MS_BIND)
        finally:
            enter(self._home, "the host's network namespace")


def enter(descriptor: int, name: str) -> None:
    """setns(2). Raises OSError."""
    if libc.setns(ctypes.c_int(descriptor), ctypes.c_int(CLONE_NEWNET)) != 0:
        raise oserror("cannot enter the network namespace", name)


def is_namespace(path: str) -> bool:
    """Whether a namespace is mounted there (all of them are files of one file system)."""
    try:
        return os.stat(path).st_dev == os.stat(SELF).st_dev
    except FileNotFoundError:
        return False


def life(path: str) -> str:
    """Which namespace has this name now, "" for none: inode numbers come back at once, so their time counts too."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return f"{found.st_ino}-{found.st_mtime_ns}"


def drop(path: str) -> bool:
    """Take the name off a namespace; whether there was one. Raises OSError."""
    found = False
    while is_namespace(path):
        unmount(path, UMOUNT_NOFOLLOW | MNT_DETACH)
        found = True
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    return found


def named(directory: str) -> list[str]:
    """The paths of all names below ``directory``/<group>/, with or without a namespace."""
    found = []
    for group in os.scandir(directory) if os.path.isdir(directory) else ():
        if group.is_dir(follow_symlinks=False):
            found += [entry.path for entry in os.scandir(group.path)]
    return sorted(found)


class Settings:
    """``/proc/sys`` in an instance of procfs that is replaced before it has seen too many namespaces."""

    def __init__(self) -> None:
        self._root, self._left = -1, 0

    def path(self, key: str) -> str:
        """Where a setting is; the shared ``/proc`` when no instance can be had."""
        if not self._left:
            close(self._root)
            try:
                self._root = open_private()
            except OSError:
                return f"/proc/sys/{key}"
            self._left = SETTINGS_LIFE
        self._left -= 1
        return f"/proc/self/fd/{self._root}/sys/{key}"


_settings = Settings()


def write_sysctl(key: str, value: str, *, missing_ok: bool = False) -> None:
    """Set a kernel setting of the namespace the process is in, unless it has that value. Raises OSError."""
    try:
        with open(_settings.path(key), "r+", encoding="ascii") as file:
            if file.read().split() != value.split():
                file.seek(0)
                file.write(value)
    except FileNotFoundError:
        if not missing_ok:
            raise
