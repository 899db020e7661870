"""What both ends of a helper's socket agree on: the size of a message, and what travels in a memory file instead."""

from __future__ import annotations

import os

from pycontainerd.linux import fds

MAX_MESSAGE = 128 << 10
"""Largest datagram, in bytes; what is larger travels in a memory file."""


def memory_file(data: bytes) -> int:
    """A descriptor of an anonymous file that holds ``data``."""
    descriptor = os.memfd_create("network", os.MFD_CLOEXEC)
    fds.write_all(descriptor, data)
    return descriptor


def read_all(descriptor: int) -> bytes:
    """All that a memory file holds."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
