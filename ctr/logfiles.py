"""Reading json-file logs: the current file, rotated ones (``.1``, ``.2`` …) and compressed ones (``.2.gz``).

A file may be rotated at any moment: it is renamed, and a new one takes its name. Whoever follows keeps the old one open
and reads it to its end before going over to the new one, so that no line is lost or told twice.
"""

from __future__ import annotations

import os
import time

from pycontainerd.client.jsontext import loads
from pycontainerd.client.times import parse_rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK = 1 << 18


class Entry:
    """One piece of output: ``log`` with its line end unless it is a part of a long line, ``time`` in RFC 3339."""

    __slots__ = ("log", "stream", "time")

    def __init__(self, log: str, stream: str, time: str) -> None:
        self.log, self.stream, self.time = log, stream, time

    @property
    def moment(self) -> int:
        """The time in nanoseconds since 1970, 0 when it cannot be read."""
        try:
            return parse_rfc3339(self.time)
        except ValueError:
            return 0


def parse_line(line: bytes) -> Entry | None:
    """The entry of one line of the file; None for a damaged one (a crash can cut one off)."""
    try:
        value = loads(line.decode("utf-8", "surrogateescape"))
        return Entry(value["log"], value.get("stream", "stdout"), value.get("time", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def files_of(path: str) -> list[str]:
    """The files of a log that exist, the oldest first."""
    directory, base = os.path.split(path)
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    numbered: list[tuple[int, str]] = []
    for name in names:
        rest = name.removeprefix(base + ".").removesuffix(".gz")
        if name.startswith(base + ".") and rest.isdigit() and (int(rest), rest) not in numbered:
            numbered.append((int(rest), f"{directory}/{name}"))
    older: dict[int, str] = {}
    for number, name in numbered:  # for an instant both forms are there; the packed one says when it is complete
        if number not in older or name.endswith(".gz") < older[number].endswith(".gz"):
            older[number] = name
    result = [older[number] for number in sorted(older, reverse=True)]
    return [*result, path] if base in names else result


def _lines(path: str) -> Iterator[bytes]:
    return _file_lines(_Opened(path))


def read_all(path: str, follower: Follower | None = None) -> Iterator[Entry]:
    """Every entry, the oldest first; with a follower, up to where that begins."""
    for name in _before(files_of(path), follower):
        yield from _entries(_lines(name))
    if follower is not None:
        yield from follower.fresh()


def _before(names: list[str], follower: Follower | None) -> list[str]:
    """The files that the follower does not read: a rotation may have renamed its first one since it was opened."""
    if follower is None or follower.identity == (0, 0):
        return names
    result = []
    for name in names:
        file = _Opened(name)
        file.close()
        if file.identity == follower.identity:
            break
        result.append(name)
    return result


def _entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        if line.endswith(b"\n"):
            entry = parse_line(line)
            if entry is not None:
                yield entry


def read_tail(
    path: str, count: int, follower: Follower | None = None, *, since: int = 0, until: int = 0
) -> list[Entry]:
    """The last ``count`` lines (an entry without a line end belongs to the line after it)."""
    found: list[Entry] = []
    if follower is not None:
        found = [entry for entry in follower.fresh() if not until or entry.moment <= until]
        if _count(found) >= count:
            return _last(found, count)
    for name in reversed(_before(files_of(path), follower)):
        lines = _lines(name) if name.endswith(".gz") or until else _tail_lines(name, count + 1)
        older = [entry for entry in _entries(lines) if not until or entry.moment <= until]
        found = older + found
        if _count(found) > count or (since and older and older[0].moment < since):
            break
    return _last(found, count)


def _count(entries: list[Entry]) -> int:
    return sum(entry.log.endswith("\n") for entry in entries)


def _last(entries: list[Entry], count: int) -> list[Entry]:
    if count <= 0:
        return []
    lines = 0
    for index in range(len(entries) - 1, -1, -1):
        if entries[index].log.endswith("\n") or index == len(entries) - 1:
            lines += 1
            if lines > count:
                return entries[index + 1 :]
    return entries


def _tail_lines(path: str, count: int) -> list[bytes]:
    """At least the last ``count`` lines that end an output line, read backwards in blocks."""
    try:
        with open(path, "rb") as file:
            position = file.seek(0, os.SEEK_END)
            data = b""
            while position > 0 and data.count(b'\\n"') <= count:
                size = min(_BLOCK, position)
                position -= size
                file.seek(position)
                data = file.read(size) + data
    except FileNotFoundError:
        return []
    lines = data.splitlines(keepends=True)
    return lines if position == 0 else lines[1:]


_LOOKS = 50


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _names(path: str, fd: int) -> bool:
    """Whether the path still leads to the open file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return _identity(fd) == (status.st_dev, status.st_ino)


class _Opened:
    """A file of the log, held open so that no rotation takes it away."""

    __slots__ = ("fd", "identity", "name")

    def __init__(self, name: str) -> None:
        self.name, self.fd = name, _open(name)
        self.identity = _identity(self.fd) if self.fd >= 0 else (0, 0)

    def size(self) -> int:
        """Bytes of what it holds, unpacked: gzip notes it in the last four bytes (RFC 1952)."""
        size = os.fstat(self.fd).st_size
        if not self.name.endswith(".gz"):
            return size
        return int.from_bytes(os.pread(self.fd, 4, max(0, size - 4)), "little")

    def close(self) -> None:
        """Let it go; can be done twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _file_lines(file: _Opened) -> Iterator[bytes]:
    """All lines of an open file, which is closed afterwards."""
    if file.fd < 0:
        return
    fd, file.fd = file.fd, -1
    with open(fd, "rb") as plain:
        if not file.name.endswith(".gz"):
            yield from plain
            return
        import gzip

        try:
            with gzip.GzipFile(fileobj=plain, mode="rb") as packed:
                yield from packed
        except EOFError:
            return  # still being packed; cannot be, since it takes its name when it is finished


def _mark_of(file: _Opened) -> tuple[bytes, int]:
    """The first line of an open file and its size when unpacked; an empty line when there is none."""
    if file.fd < 0:
        return b"", 0
    again = _Opened(f"/proc/self/fd/{file.fd}")  # the same file, whatever its name is by now, from its beginning
    again.name = file.name
    return next(_file_lines(again), b""), file.size()


class Follower:
    """Follows a log from the beginning of its present file, over any number of rotations."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _open(path)
        self.identity = _identity(self._file) if self._file >= 0 else (0, 0)
        self._rest = b""
        # What a file is known by when it has been packed and has another inode: its first line and its size. As long as
        # there is no line in ours, the one before it has to do.
        self._mark = (b"", 0)
        self._before = (b"", 0)
        for name in reversed(_before(files_of(path), self)):
            file = _Opened(name)
            self._before = _mark_of(file)
            file.close()
            if self._before[0]:
                break

    def fresh(self) -> Iterator[Entry]:
        """The entries that have come since the last call."""
        while True:
            if self._file < 0:
                self._file = _open(self._path)
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
                mark = _mark_of(file)
                self._before = mark if mark[0] else self._before
                yield from _entries(_file_lines(file))

    def _unread(self) -> Iterator[Entry]:
        while data := os.read(self._file, _BLOCK):
            first, size = self._mark
            head, newline, tail = (self._rest + data).rpartition(b"\n")
            self._rest = tail
            lines = (head + newline).splitlines(keepends=True) if newline else []
            self._mark = (first or (lines[0] if lines else b""), size + len(data))
            yield from _entries(lines)

    def _rotated(self) -> bool:
        """Whether our file no longer is the one of that name."""
        mine = _identity(self._file)
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

    def _successors(self) -> tuple[list[_Opened], int]:
        """The files between ours and the present one, the oldest first, and the present one (-1: not there yet).

        More than one rotation may lie between two looks, and another may happen while we look: then we look again.
        """
        mine = _identity(self._file)
        for _ in range(_LOOKS):
            opened = [_Opened(name) for name in files_of(self._path)]
            present = opened.pop() if opened and opened[-1].name == self._path else None
            newest = present.fd if present is not None else -1
            settled = all(file.fd >= 0 for file in opened) and newest >= 0 and _names(self._path, newest)
            places = [index for index, file in enumerate(opened) if file.identity == mine]
            if settled:
                skipped = places[0] + 1 if places else self._behind_packed(opened)
                for file in opened[:skipped]:
                    file.close()
                return opened[skipped:], newest
            for file in [*opened, *([present] if present is not None else [])]:
                file.close()
            time.sleep(0.002)
        return [], -1

    def _behind_packed(self, files: list[_Opened]) -> int:
        """How many to skip, where ours was packed or deleted meanwhile; what was deleted is older than all others."""
        wanted = self._mark if self._mark[0] else self._before
        for index, file in enumerate(files):
            if wanted[0] and file.size() == wanted[1] and _mark_of(file) == wanted:
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
