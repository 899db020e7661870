"""A bounded log file: one current file, older ones as `.1` (newest), `.2` …, compressed in the background.

Blocks of whole lines go in with one write each and are never split over two files in mid-line. Rotation only renames,
so it loses nothing; compressing is done by a process of its own, from descriptors, and takes its final name when it
is finished, wherever the file has been moved meanwhile. For an instant `.1` and `.1.gz` may both exist; they hold the
same lines. What cannot be written (a full disk) is counted, and a line says how much is missing once it can.
"""

from __future__ import annotations

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


class Options:
    """What the query of a `json-file:` URI asks for: bytes of a file, number of files, compression, attributes."""

    __slots__ = ("attributes", "compress", "max_files", "max_size")

    def __init__(self, max_size: int, max_files: int, compress: bool, attributes: dict[str, str]) -> None:
        self.max_size = max_size
        self.max_files = max_files
        self.compress = compress
        self.attributes = attributes


def options_of(target: Target) -> Options:
    """Read the query: max-size, max-file, compress, and attr.NAME=VALUE for each label or variable to record.

    Raises RpcError INVALID_ARGUMENT for a value that cannot be used.
    """
    attributes = {key[len(_ATTRIBUTE) :]: value for key, value in target.query if key.startswith(_ATTRIBUTE)}
    return Options(
        size_of(target.get("max-size", str(MAX_SIZE)), "max-size"),
        count_of(target.get("max-file", str(MAX_FILES)), "max-file"),
        flag_of(target.get("compress", "true"), "compress"),
        attributes,
    )


class RotatingFile:
    """The file, its older brothers, and the process that compresses one of them. Raises OSError when made."""

    def __init__(self, path: str, options: Options, children: Children, log: Log) -> None:
        self.path = path
        self.options = options
        self._children = children
        self._log = log
        self._rotations = 0
        self._raw: list[int] = []  # the rotations whose file is to be compressed, oldest first
        self._busy = False
        self._users = 0
        self._lost = 0
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

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

    def write(self, block: bytes, count: int, note: Callable[[str], bytes]) -> None:
        """Write whole lines, made from `count` bytes of output; `note(text)` makes a line of our own."""
        if self._lost and self._fd >= 0:
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

    def _rotate(self) -> None:
        """Make the current file `.1`, each older one older by one, and drop the oldest."""
        keep = self.options.max_files - 1
        if keep < 1:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        close(self._fd)
        self._fd = -1
        for suffix in ("", ".gz"):
            _unlink(f"{self.path}.{keep}{suffix}")
        for index in range(keep - 1, 0, -1):
            for suffix in ("", ".gz"):
                _rename(f"{self.path}.{index}{suffix}", f"{self.path}.{index + 1}{suffix}")
        _rename(self.path, f"{self.path}.1")
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size
        self._rotations += 1
        if self.options.compress:
            self._raw.append(self._rotations)
            self._compress_next()

    def _place(self, born: int) -> str:
        """Where the file of an earlier rotation is by now, "" when it has been dropped."""
        index = self._rotations - born + 1
        return f"{self.path}.{index}" if index < self.options.max_files else ""

    def _compress_next(self) -> None:
        """Start compressing the oldest raw file, unless one is being compressed."""
        while self._raw and not self._busy:
            born = self._raw.pop(0)
            place = self._place(born)
            if place:
                self._compress(born, place)

    def _compress(self, born: int, place: str) -> None:
        argv = next(([path, "-1", "-c"] for path in _GZIP if os.access(path, os.X_OK)), None)
        if argv is None:
            self._log.debug(f"no gzip program here: {place} stays uncompressed")
            return
        temporary = f"{self.path}.gz.tmp"
        source = made = -1
        try:
            source = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            self._children.spawn(
                argv, {}, {0: source, 1: made}, lambda ended: self._compressed(born, temporary, ended.status)
            )
            self._busy = True
        except OSError as error:
            self._log.warn(f"cannot compress {place}: {error}")
        finally:
            close(source)
            close(made)

    def _compressed(self, born: int, temporary: str, status: int) -> None:
        self._busy = False
        place = self._place(born)
        try:
            if status == 0 and place:
                os.rename(temporary, f"{place}.gz")
                os.unlink(place)
            else:
                _unlink(temporary)
        except OSError as error:
            self._log.warn(f"cannot keep compressed {place}: {error}")
        self._compress_next()


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
