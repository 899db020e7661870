"""Reading log files: the current file, rotated ones (``.1``, ``.2`` …) and compressed ones (``.2.gz``).

A file may be rotated at any moment: it is renamed, and a new one takes its name. So all files are opened at one moment,
which holds if the current one still has its name afterwards, and read from their descriptors wherever they are by then.
"""

from __future__ import annotations

import os
import time

from ctr.logentries import ended_lines, entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ctr.logentries import Entry
    from ctr.logfollow import Follower

BLOCK = 1 << 18
_LOOKS = 50


def files_of(path: str) -> list[str]:
    """The files of a log that exist, the oldest first."""
    directory, base = os.path.split(path)
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    older: dict[int, str] = {}
    for name in names:
        rest = name.removeprefix(base + ".").removesuffix(".gz")
        if not name.startswith(base + ".") or not rest.isdigit():
            continue
        number = int(rest)
        if number not in older or not name.endswith(".gz"):  # for an instant both forms are there: the same lines
            older[number] = f"{directory}/{name}"
    result = [older[number] for number in sorted(older, reverse=True)]
    return [*result, path] if base in names else result


class Opened:
    """A file of the log, held open so that no rotation takes it away. ``fd`` is -1 when there is none."""

    __slots__ = ("fd", "identity", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self.fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self.fd = -1
        self.identity = identity_of(self.fd) if self.fd >= 0 else (0, 0)

    def size(self) -> int:
        """Bytes of what it holds, unpacked: gzip notes it in the last four bytes (RFC 1952)."""
        size = os.fstat(self.fd).st_size
        if not self.name.endswith(".gz"):
            return size
        return int.from_bytes(os.pread(self.fd, 4, max(0, size - 4)), "little")

    def lines(self) -> Iterator[bytes]:
        """All lines; the file is closed afterwards."""
        if self.fd < 0:
            return
        fd, self.fd = self.fd, -1
        with open(fd, "rb") as plain:
            if not self.name.endswith(".gz"):
                yield from plain
                return
            import gzip

            try:
                with gzip.GzipFile(fileobj=plain, mode="rb") as packed:
                    yield from packed
            except EOFError:
                return  # still being packed; cannot be, since it takes its name when it is finished

    def last_lines(self, count: int) -> list[bytes]:
        """At least the last ``count`` entries that end a line of output, read backwards; the file is closed then."""
        if self.name.endswith(".gz"):
            return list(self.lines())
        if self.fd < 0:
            return []
        position = os.fstat(self.fd).st_size
        data = b""
        while position > 0 and ended_lines(data) <= count:
            size = min(BLOCK, position)
            position -= size
            data = os.pread(self.fd, size, position) + data
        self.close()
        lines = [line + b"\n" for line in data.split(b"\n")[:-1]]  # what has no end yet is no line
        return lines if position == 0 else lines[1:]

    def mark(self) -> tuple[bytes, int]:
        """Its first line and its size when unpacked; an empty line when there is none."""
        if self.fd < 0:
            return b"", 0
        again = Opened(f"/proc/self/fd/{self.fd}")  # the same file, whatever its name is by now, from its beginning
        again.name = self.name
        size = self.size()
        return next(again.lines(), b""), size

    def close(self) -> None:
        """Let it go; can be done twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def identity_of(fd: int) -> tuple[int, int]:
    """What an open file is known by whatever its name."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def is_named(path: str, fd: int) -> bool:
    """Whether the path leads to the open file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return identity_of(fd) == (status.st_dev, status.st_ino)


def open_all(path: str) -> tuple[list[Opened], Opened]:
    """The rotated files, the oldest first, and the current one, as they were at one moment.

    Opened first, looked at last: if the current file has its name still, nothing was rotated between.
    """
    look = 0
    while True:
        look += 1
        present = Opened(path)
        names = files_of(path)
        older = [Opened(name) for name in names if name != path]
        whole = all(file.fd >= 0 for file in older) and (is_named(path, present.fd) if present.fd >= 0 else not names)
        if whole or look == _LOOKS:
            return older, present
        for file in (*older, present):
            file.close()
        time.sleep(0.002)


def _opened(path: str, follower: Follower | None) -> list[Opened]:
    """What there is to read, the oldest first: all files, or those before the follower's."""
    if follower is not None:
        return follower.take_older()
    older, present = open_all(path)
    return [*older, present]


def read_all(path: str, follower: Follower | None = None) -> Iterator[Entry]:
    """Every entry, the oldest first; with a follower, up to where that is by then."""
    for file in _opened(path, follower):
        yield from entries(file.lines())
    if follower is not None:
        yield from follower.fresh()


def read_tail(
    path: str, count: int, follower: Follower | None = None, *, since: int = 0, until: int = 0
) -> list[Entry]:
    """The last ``count`` lines (an entry without a line end belongs to the line after it)."""
    files = _opened(path, follower)
    found: list[Entry] = []
    if follower is not None:
        found = [entry for entry in follower.fresh() if not until or entry.moment <= until]
    while files and _count(found) <= count:
        file = files.pop()
        lines = file.lines() if until else file.last_lines(count + 1)
        older = [entry for entry in entries(lines) if not until or entry.moment <= until]
        found = older + found
        if since and older and older[0].moment < since:
            break
    for file in files:
        file.close()
    return _last(found, count)


def _count(found: list[Entry]) -> int:
    return sum(entry.log.endswith("\n") for entry in found)


def _last(found: list[Entry], count: int) -> list[Entry]:
    if count <= 0:
        return []
    lines = 0
    for index in range(len(found) - 1, -1, -1):
        if found[index].log.endswith("\n") or index == len(found) - 1:
            lines += 1
            if lines > count:
                return found[index + 1 :]
    return found
