"""Following a log over any number of rotations: no line is missed and none is told twice.

The current file is kept open when it is rotated away and read to its end before the follower goes over to the next one.
A file that was packed meanwhile has another inode; it is known by its first line and its size.
"""

from __future__ import annotations

import os
import time

from ctr.logentries import entries
from ctr.logfiles import BLOCK, Opened, identity_of, open_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ctr.logentries import Entry


class Follower:
    """Follows a log from the beginning of its present file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._older, present = open_all(path)
        self._file = present.fd
        self._rest = b""
        # What a file is known by when it has been packed and has another inode: its first line and its size. As long as
        # there is no line in ours, the one before it has to do.
        self._mark = (b"", 0)
        self._before = (b"", 0)
        for file in reversed(self._older):
            self._before = file.mark()
            if self._before[0]:
                break

    def take_older(self) -> list[Opened]:
        """The files before the one where following began, the oldest first. They are the caller's to close."""
        older, self._older = self._older, []
        return older

    def fresh(self) -> Iterator[Entry]:
        """The entries that have come since the last call."""
        while True:
            if self._file < 0:
                self._file = Opened(self._path).fd
                if self._file < 0:
                    return
            yield from self._unread()
            if not self._rotated():
                return
            yield from self._unread()  # what was written between our last read and the rotation
            between, newest = self._successors()
            os.close(self._file)
            self._before = self._mark if self._mark[0] else self._before
            self._file, self._rest, self._mark = newest, b"", (b"", 0)
            for file in between:
                mark = file.mark()
                self._before = mark if mark[0] else self._before
                yield from entries(file.lines())

    def _unread(self) -> Iterator[Entry]:
        while data := os.read(self._file, BLOCK):
            first, size = self._mark
            head, newline, tail = (self._rest + data).rpartition(b"\n")
            self._rest = tail
            lines = [line + b"\n" for line in head.split(b"\n")] if newline else []
            self._mark = (first or (lines[0] if lines else b""), size + len(data))
            yield from entries(lines)

    def _rotated(self) -> bool:
        """Whether our file no longer is the one of that name."""
        mine = identity_of(self._file)
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return False  # between the renaming and the new file; soon there is one
        if mine == (now.st_dev, now.st_ino):
            if now.st_size < os.lseek(self._file, 0, os.SEEK_CUR):  # emptied in place, by somebody else's hand
                os.lseek(self._file, 0, os.SEEK_SET)
                self._rest, self._mark = b"", (b"", 0)
            return False
        return True

    def _successors(self) -> tuple[list[Opened], int]:
        """The files between ours and the present one, the oldest first, and the present one (-1: not there yet)."""
        mine = identity_of(self._file)
        older, present = open_all(self._path)
        places = [index for index, file in enumerate(older) if file.identity == mine]
        skipped = places[0] + 1 if places else self._behind_packed(older)
        for file in older[:skipped]:
            file.close()
        return older[skipped:], present.fd

    def _behind_packed(self, files: list[Opened]) -> int:
        """How many to skip, where ours was packed or deleted meanwhile; what was deleted is older than all others."""
        wanted = self._mark if self._mark[0] else self._before
        for index, file in enumerate(files):
            if wanted[0] and file.size() == wanted[1] and file.mark() == wanted:
                return index + 1
        return 0

    def wait(self, seconds: float) -> None:
        """Until there may be more, but no longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        pause = 0.005
        while time.monotonic() < deadline:
            size = os.fstat(self._file).st_size if self._file >= 0 else 0
            position = os.lseek(self._file, 0, os.SEEK_CUR) if self._file >= 0 else 0
            if size != position or (self._file < 0 and os.path.exists(self._path)) or self._moved():
                return
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def _moved(self) -> bool:
        return self._file >= 0 and self._rotated()
