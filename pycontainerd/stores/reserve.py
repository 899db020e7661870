"""A little of the disk kept back, so that what makes room still works when there is none left.

Deleting needs space first: its rows go to the write-ahead log. On a disk that is full to the last block nothing could
be deleted any more, and what filled it would stay for ever. So a file of `SIZE` bytes lies beside the database; it is
given up for writes that free something, and made again, as large as still fits, right after them.
"""

from __future__ import annotations

import contextlib
import os

SIZE = 1 << 20
"""Bytes kept back: several of the largest deletions."""
_LEAST = 64 << 10


class Reserve:
    """The file at ``path``. No method raises for want of space."""

    def __init__(self, path: str) -> None:
        self._path = path

    def keep(self) -> None:
        """Make the file, or make it larger: `SIZE` bytes, or half, a quarter … of it where that is all there is."""
        size = SIZE
        while size >= _LEAST and size > self._held():
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(descriptor, 0, size)
                    return
                finally:
                    os.close(descriptor)
            except OSError:
                size //= 2
        if not self._held():
            self.give_up()

    def give_up(self) -> bool:
        """Free the space; return whether there was any."""
        held = self._held() > 0
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        return held

    def _held(self) -> int:
        try:
            return os.stat(self._path).st_blocks * 512
        except OSError:
            return 0
