"""Loop devices (loop(4)): files as block devices, detached by the kernel when their last user goes."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

_LOOP_SET_FD = 0x4C00
_LOOP_CLR_FD = 0x4C01
_LOOP_SET_STATUS64 = 0x4C04
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_SET_DIRECT_IO = 0x4C08
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82

_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16

_ATTEMPTS = 64


class _Info64(ctypes.Structure):
    """struct loop_info64 of <linux/loop.h>."""

    _fields_ = (
        ("device", ctypes.c_uint64),
        ("inode", ctypes.c_uint64),
        ("rdevice", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("size_limit", ctypes.c_uint64),
        ("number", ctypes.c_uint32),
        ("encrypt_type", ctypes.c_uint32),
        ("encrypt_key_size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("file_name", ctypes.c_char * 64),
        ("crypt_name", ctypes.c_char * 64),
        ("encrypt_key", ctypes.c_char * 32),
        ("init", ctypes.c_uint64 * 2),
    )


class _Config(ctypes.Structure):
    """struct loop_config of <linux/loop.h>, Linux 5.8 and later."""

    _fields_ = (
        ("fd", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("info", _Info64),
        ("reserved", ctypes.c_uint64 * 8),
    )


class LoopDevice:
    """An attached device: ``path`` such as /dev/loop3, ``fd`` which holds it until something else does."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    def keep(self) -> None:
        """Take the autoclear flag away: the device stays until `detach`, whoever uses it. Raises OSError."""
        status = bytearray(ctypes.sizeof(_Info64))
        fcntl.ioctl(self.fd, _LOOP_GET_STATUS64, status)
        info = _Info64.from_buffer(status)
        info.flags &= ~_LO_FLAGS_AUTOCLEAR
        fcntl.ioctl(self.fd, _LOOP_SET_STATUS64, bytes(info))

    def close(self) -> None:
        """Let go: an autoclear device that nobody else uses detaches now."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def attach(
    path: str,
    *,
    read_only: bool = False,
    autoclear: bool = True,
    direct_io: bool = False,
    offset: int = 0,
    size: int = 0,
) -> LoopDevice:
    """Attach a file to a free loop device; ``offset`` and ``size`` are bytes, size 0 reaches to the end of the file.

    Raises OSError naming the file, or /dev/loop-control when loop devices are not to be had.
    """
    backing = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        info = _Info64(offset=offset, size_limit=size, file_name=os.fsencode(path)[:63])
        info.flags = (_LO_FLAGS_READ_ONLY if read_only else 0) | (_LO_FLAGS_AUTOCLEAR if autoclear else 0)
        info.flags |= _LO_FLAGS_DIRECT_IO if direct_io else 0
        for _ in range(_ATTEMPTS):
            device = _try_attach(backing, info, path)
            if device is not None:
                return device
    finally:
        os.close(backing)
    raise OSError(errno.EBUSY, f"no loop device could be taken in {_ATTEMPTS} attempts", path)


def _try_attach(backing: int, info: _Info64, path: str) -> LoopDevice | None:
    """Ask for a free device and configure it; None when another process was faster."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    name = f"/dev/loop{number}"
    read_only = bool(info.flags & _LO_FLAGS_READ_ONLY)
    device = os.open(name, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        _configure(device, backing, info)
    except OSError as error:
        os.close(device)
        if error.errno == errno.EBUSY:
            return None
        raise OSError(error.errno, f"attach to {name}: {error.strerror}", path) from None
    except BaseException:
        os.close(device)
        raise
    return LoopDevice(name, device)


def _configure(device: int, backing: int, info: _Info64) -> None:
    """LOOP_CONFIGURE, or the three calls it replaces where the kernel is older than 5.8."""
    try:
        fcntl.ioctl(device, _LOOP_CONFIGURE, bytes(_Config(fd=backing, info=info)))
        return
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
    fcntl.ioctl(device, _LOOP_SET_FD, backing)
    try:
        fcntl.ioctl(device, _LOOP_SET_STATUS64, bytes(info))
        if info.flags & _LO_FLAGS_DIRECT_IO:
            fcntl.ioctl(device, _LOOP_SET_DIRECT_IO, 1)
    except OSError:
        fcntl.ioctl(device, _LOOP_CLR_FD, 0)
        raise


def detach(device: str) -> None:
    """Detach a device by path; one that is not attached, or gone, is fine. Raises OSError otherwise."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.ioctl(descriptor, _LOOP_CLR_FD, 0)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise OSError(error.errno, f"detach loop device: {error.strerror}", device) from None
    finally:
        os.close(descriptor)


def backing_file(device: str) -> str:
    """The file behind a device path; "" when nothing is attached."""
    try:
        with open(f"/sys/block/{os.path.basename(device)}/loop/backing_file", encoding="utf-8") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""
