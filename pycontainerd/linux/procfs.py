"""A procfs of one's own, mounted nowhere (fsopen(2), fsmount(2); Linux 5.2).

Below ``sys/net`` every network namespace has files of its own under the same names, and the kernel keeps all that were
ever looked at in one hash chain of the mount: with thousands of namespaces each lookup gets slow. A fresh instance
starts with an empty one, and costs a few hundredths of a millisecond.
"""

from __future__ import annotations

import os

from pycontainerd.linux.libc import syscall

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOEXEC = 1
_CREATE = 6  # FSCONFIG_CMD_CREATE


def open_private() -> int:
    """A descriptor of a new instance's root directory; closing it ends the instance. Raises OSError."""
    context = syscall("fsopen proc", _FSOPEN, b"proc", _CLOEXEC)
    try:
        syscall("make a procfs", _FSCONFIG, context, _CREATE, None, None, 0)
        return syscall("mount a procfs", _FSMOUNT, context, _CLOEXEC, 0)
    finally:
        os.close(context)
