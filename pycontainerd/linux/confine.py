"""Shutting a single-threaded process into a directory: mount namespace, root, capabilities, descriptors, imports.

Order matters and is the caller's: import everything → ``private_mounts`` → mount → ``enter_root`` → ``drop_privileges``
→ ``close_others`` → ``forget_imports``. After that a Python process reads no file that lies in the new root: not a
module, not a codec, not a shared library (glibc would otherwise load libgcc from there when a thread ends early).
"""

from __future__ import annotations

import ctypes
import os
import sys

from pycontainerd.linux.libc import libc, oserror, syscall

CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_FSETID = 4
CAP_SYS_ADMIN = 21
CAP_MKNOD = 27
CAP_SETFCAP = 31

_CLONE_NEWNS = 0x00020000
_MS_REC_SLAVE = 0x4000 | 0x80000
_MNT_DETACH = 2
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECURE_BITS = 0x2F  # no root magic, no fixup, no ambient raise; the first two locked
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218, "ppc64le": 203, "s390x": 217}
_CAPABILITY_VERSION_3 = 0x20080522


def private_mounts() -> None:
    """Give this process a mount namespace of its own; what the host unmounts still goes away here (slave, not private:
    a private copy would pin the mounts of containers that end meanwhile). Raises OSError."""
    if libc.unshare(_CLONE_NEWNS) < 0:
        raise oserror("unshare mounts")
    if libc.mount(b"none", b"/", None, _MS_REC_SLAVE, None) < 0:
        raise oserror("make mounts slave", "/")


def enter_root(path: str) -> None:
    """Make the mount point ``path`` the root and detach everything else. Raises OSError."""
    os.chdir(path)
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    try:
        if number is None:
            raise OSError(38, "no number for pivot_root")
        syscall("pivot_root", number, b".", b".", path=path)
        if libc.umount2(b".", _MNT_DETACH) < 0:
            raise oserror("detach the old root", path)
    except OSError as error:
        if error.errno not in {22, 38}:  # EINVAL: the host's root is an initramfs, which cannot be pivoted away
            raise
        os.chroot(".")
    os.chdir("/")


def drop_privileges(keep: frozenset[int]) -> None:
    """Give up every capability but ``keep``, for good: no exec brings one back, nobody may trace us. Raises OSError."""
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    libc.prctl(_PR_SET_SECUREBITS, _SECURE_BITS, 0, 0, 0)
    for capability in range(64):
        if capability not in keep and libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # past the last one the kernel knows
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0:
        raise oserror("set no_new_privs")
    _set_capabilities(sum(1 << capability for capability in keep))
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _set_capabilities(mask: int) -> None:
    """Permitted and effective become ``mask`` (less what was not there), inheritable becomes empty."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) < 0:
        raise oserror("read capabilities")
    have = data[1] | data[4] << 32
    mask &= have
    low, high = mask & 0xFFFFFFFF, mask >> 32
    new = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if libc.capset(header, new) < 0:
        raise oserror("drop capabilities")


def close_others(keep: frozenset[int]) -> None:
    """Close every descriptor but ``keep`` and the three standard ones, which are kept as they are."""
    low = 3
    for fd in sorted(keep):
        if fd > low:
            os.closerange(low, fd)
        low = max(low, fd + 1)
    os.closerange(low, 1 << 20)


def forget_imports() -> None:
    """From here on no import finds a file: what is loaded stays usable, anything else fails at once."""
    sys.path.clear()
    sys.path_hooks.clear()
    sys.meta_path.clear()
    sys.path_importer_cache.clear()


def preload() -> None:
    """Load the libraries that glibc and Python would otherwise look up lazily, by name, in whatever root is then
    current; call it before confining."""
    for name in ("libgcc_s.so.1",):
        try:
            ctypes.CDLL(name)
        except OSError:
            pass  # a libc without it does not need it
