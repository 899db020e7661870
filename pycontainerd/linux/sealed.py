"""Programs as sealed memory files: copies that nobody can write to any more, not even from inside a container.

OCI runtimes must not be run from a file that a container could reach through /proc/PID/exe and overwrite, so each of
their calls first makes such a copy of itself (or a read-only mount) and executes that. Executed from a sealed copy they
see that it is one and go on at once, which halves the cost of a call.
"""

from __future__ import annotations

import errno
import fcntl
import os

LIMIT = 64 << 20
"""Bytes of the largest program that is copied into memory."""
_EXEC = 0x10  # MFD_EXEC: needed where the vm.memfd_noexec sysctl is set, unknown before Linux 6.3
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_ELF = b"\x7fELF"


def identity(info: os.stat_result) -> str:
    """What changes when a file is replaced or written to."""
    return f"{info.st_dev}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"


class Sealed:
    """A sealed copy of the program at `path`, as it was when its `identity` was what is kept here."""

    __slots__ = ("fd", "identity", "path")

    def __init__(self, path: str, identity: str, fd: int) -> None:
        """`fd` belongs to this object."""
        self.path = path
        self.identity = identity
        self.fd = fd

    def current(self, path: str) -> bool:
        """Whether this is a copy of what is at `path` now."""
        try:
            return path == self.path and identity(os.stat(path)) == self.identity
        except OSError:
            return False

    @property
    def executable(self) -> str:
        """A path to execute, good for this process and its children until their exec."""
        return f"/proc/self/fd/{self.fd}"

    def __del__(self) -> None:
        try:
            os.close(self.fd)
        except OSError:
            pass


def seal(path: str) -> Sealed:
    """Copy a program into a sealed memory file. Raises OSError, ENOEXEC for scripts, which need a file to be read."""
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        info = os.fstat(source)
        if info.st_size > LIMIT:
            raise OSError(errno.EFBIG, f"larger than {LIMIT} bytes", path)
        if os.pread(source, len(_ELF), 0) != _ELF:
            raise OSError(errno.ENOEXEC, "no binary", path)
        made = Sealed(path, identity(info), _memory_file(os.path.basename(path)))
        done = 0
        while done < info.st_size:
            copied = os.sendfile(made.fd, source, done, info.st_size - done)
            if not copied:
                raise OSError(errno.EIO, "became shorter while it was copied", path)
            done += copied
    finally:
        os.close(source)
    os.fchmod(made.fd, 0o555)
    fcntl.fcntl(made.fd, fcntl.F_ADD_SEALS, _SEALS)
    return made


def _memory_file(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)
