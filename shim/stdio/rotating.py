"""A bounded log file: one current file, older ones as `.1` (newest), `.2` …, compressed in the background.

Blocks of whole lines go in with one write each and are never split over two files in mid-line. Rotation only renames,
so it loses nothing; compressing is done by a process of its own, from descriptors, and takes its final name when it
is finished, wherever the file has been moved meanwhile. For an instant `.1` and `.1.gz` may both exist; they hold the
same lines. What cannot be written (a full disk) is counted, and a line says how much is missing once it can.

The names tell everything, nothing is kept in memory only: after a crash the next writer ends a torn line, removes what
a dead compressor left and compresses what it did not get to. Renaming is done under a lock on the directory, since
for a moment the writer before this one may still be waiting for its last compressor.
"""

from __future__ import annotations

import fcntl
import os

from pycontainerd.linux.fds import close
from shim.stdio.uri import Target, count_of, flag_of, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.children import Children
    from shim.log import Log

MAX_SIZE = 10 << 20
MAX_FILES = 5
_ATTRIBUTE = "attr."
_GZIP = ("/usr/bin/gzip", "/bin/gzip")
_PACKED = ".gz"
_UNFINISHED = ".gz.tmp"


class Options:
    """What the query of a log's URI asks for: bytes of a file (-1: any), number of files, compression, attributes."""

    __slots__ = ("attributes", "compress", "max_files", "max_size")

    def __init__(self, max_size: int, max_files: int, compress: bool, attributes: dict[str, str]) -> None:
        self.max_size = max_size
        self.max_files = max_files
        self.compress = compress
        self.attributes = attributes


def options_of(target: Target) -> Options:
    """Read the query: max-size, max-file, compress, and attr.NAME=VALUE for each label or variable to record.

    A `cri:` log without max-size grows until somebody else rotates it and asks for it to be reopened: the kubelet does.
    Raises RpcError INVALID_ARGUMENT for a value that cannot be used.
    """
    size = "-1" if target.scheme == "cri" else str(MAX_SIZE)
    return Options(
        size_of(target.get("max-size", size), "max-size"),
        count_of(target.get("max-file", str(MAX_FILES)), "max-file"),
        flag_of(target.get("compress", "true"), "compress"),
        attributes_of(target),
    )


def attributes_of(target: Target) -> dict[str, str]:
    """The attr.NAME=VALUE pairs of a query."""
    return {key[len(_ATTRIBUTE) :]: value for key, value in target.query if key.startswith(_ATTRIBUTE)}


class RotatingFile:
    """The file, its older brothers, and the process that compresses one of them. Raises OSError when made."""

    def __init__(self, path: str, options: Options, children: Children, log: Log) -> None:
        self.path = path
        self.options = options
        self._children = children
        self._log = log
        self._busy = False
        self._users = 0
        self._lost = 0
        self._size = 0
        self._folder, _, self._name = path.rpartition("/")
        os.makedirs(self._folder or "/", 0o755, exist_ok=True)
        self._fd = self._open()
        self._recover()

    def _open(self) -> int:
        """The current file, opened for appending; a line that a crash has torn is ended."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            self._size = os.fstat(fd).st_size
            if self._size and os.pread(fd, 1, self._size - 1) != b"\n":
                self._size += os.write(fd, b"\n")
        except OSError:
            close(fd)
            raise
        return fd

    def _recover(self) -> None:
        """Finish what a writer that was killed has left."""
        for name in os.listdir(self._folder or "/"):
            if name.startswith(self._name + ".") and name.endswith(_UNFINISHED):
                _unlink(f"{self._folder}/{name}")
        self._compress_next()

    def acquire(self) -> RotatingFile:
        """One more stream writes here."""
        self._users += 1
        return self

    def release(self) -> None:
        """One stream less; the last one closes the file."""
        self._users -= 1
        if self._users <= 0:
            close(self._fd)
            self._fd = -1

    def reopen(self) -> None:
        """Go on in the file that now has the name, made if there is none. Raises OSError; the old one stays then."""
        old = self._fd
        self._fd = self._open()
        close(old)

    def write(self, block: bytes, count: int, note: Callable[[str], bytes]) -> None:
        """Write whole lines, made from `count` bytes of output; `note(text)` makes a line of our own."""
        if self._lost:
            notice = note(f"[{self._lost} bytes of output were lost here: the log could not be written]")
            if self._put(notice):
                self._lost = 0
        limit = self.options.max_size
        try:
            while limit > 0 and self._size + len(block) > limit:
                cut = block.rfind(b"\n", 0, max(0, limit - self._size)) + 1
                if cut == 0 and self._size == 0:
                    cut = block.find(b"\n") + 1  # one line longer than a file
                if cut and not self._put(block[:cut]):
                    break
                block = block[cut:]
                if not block:
                    return
                self._rotate()
        except OSError as error:
            self._log.error(f"cannot rotate {self.path}: {error}")
        if not self._put(block):
            self._lost += count

    def _put(self, block: bytes) -> bool:
        """Write one block whole or not at all."""
        written = 0
        try:
            if self._fd < 0:
                self._fd = self._open()
            while written < len(block):
                written += os.write(self._fd, memoryview(block)[written:] if written else block)
        except OSError as error:
            if not self._lost:
                self._log.error(f"cannot write {self.path}: {error}; output is being lost")
            if written:
                os.ftruncate(self._fd, self._size)  # no torn line
            return False
        self._size += written
        return True

    def _older(self) -> list[tuple[int, str]]:
        """The rotated files that exist, as (number, `` or `.gz`), the oldest first."""
        found: list[tuple[int, str]] = []
        start = self._name + "."
        for name in os.listdir(self._folder or "/"):
            if name.startswith(start):
                number, dot, suffix = name[len(start) :].partition(".")
                if number.isdigit() and number.isascii() and dot + suffix in ("", _PACKED):
                    found.append((int(number), dot + suffix))
        found.sort(reverse=True)
        return found

    def _rotate(self) -> None:
        """Make the current file `.1`, each older one older by one, and drop the oldest."""
        keep = self.options.max_files - 1
        lock = self._lock()
        try:
            for number, suffix in self._older():
                place = f"{self.path}.{number}{suffix}"
                if number >= keep:
                    _unlink(place)
                else:
                    _rename(place, f"{self.path}.{number + 1}{suffix}")
            close(self._fd)
            self._fd = -1
            if keep < 1:
                _unlink(self.path)  # a new file, not this one emptied: who reads it reads it to its end
            else:
                _rename(self.path, f"{self.path}.1")
            self._fd = self._open()
        finally:
            close(lock)
        self._compress_next()

    def _lock(self) -> int:
        """The directory, locked until it is closed: whoever renames logs in it takes turns. Held for microseconds."""
        fd = os.open(self._folder or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        return fd

    def _compress_next(self) -> None:
        """Start compressing the newest raw file, unless one is being compressed.

        In a flood the older ones may be dropped before their turn comes: nothing is lost by that.
        """
        if self._busy or not self.options.compress:
            return
        raw = min((number for number, suffix in self._older() if not suffix), default=0)
        if raw:
            self._compress(f"{self.path}.{raw}")

    def _compress(self, place: str) -> None:
        argv = next(([path, "-1", "-c"] for path in _GZIP if os.access(path, os.X_OK)), None)
        if argv is None:
            self._log.debug(f"no gzip program here: {place} stays uncompressed")
            return
        temporary = f"{self.path}.{os.urandom(4).hex()}{_UNFINISHED}"
        source = made = -1
        try:
            source = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            self._children.spawn(
                argv, {}, {0: source, 1: made}, lambda ended: self._compressed(source, temporary, ended.status)
            )
            self._busy = True
        except OSError as error:
            self._log.warn(f"cannot compress {place}: {error}")
            close(source)
            if made >= 0:
                _unlink(temporary)
        finally:
            close(made)

    def _compressed(self, source: int, temporary: str, status: int) -> None:
        self._busy = False
        # Held open until now, so that no younger file can have come by its inode.
        inode = os.fstat(source).st_ino
        try:
            lock = self._lock()
            try:
                kept = status == 0 and self._keep(inode, temporary)
            finally:
                close(lock)
        except FileNotFoundError:
            kept = False  # the next writer has swept it away, or the whole directory is gone
        except OSError as error:
            self._log.warn(f"cannot keep what was compressed of {self.path}: {error}")
            kept = False
        close(source)
        if kept:
            self._compress_next()
        else:
            _unlink(temporary)

    def _keep(self, inode: int, temporary: str) -> bool:
        """Put the compressed file in the place where its source is by now. False when that was dropped meanwhile."""
        for number, suffix in self._older():
            place = f"{self.path}.{number}"
            if not suffix and os.stat(place).st_ino == inode:
                os.rename(temporary, place + _PACKED)
                os.unlink(place)
                return True
        return False


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _rename(path: str, new: str) -> None:
    try:
        os.rename(path, new)
    except FileNotFoundError:
        pass
