"""The files of the content store: blobs under their digest, ingests under a hash of their reference.

    blobs/<algorithm>/<hex>                    immutable, mode 0444
    ingest/<sha256 of "<ns>/<seq>/<ref>">/     data, and for people who look: ref, total, startedat, updatedat
    quarantine/                                what the boot check took out of the way, kept for the operator

A blob appears by ``link`` from its ingest, which keeps its own name for the bytes until the transaction is through. So
a file with more than one link is shared and never written to.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from typing import TYPE_CHECKING

from pycontainerd.core.digest import ALGORITHMS, split_digest
from pycontainerd.core.errors import ResourceExhausted, Unavailable
from pycontainerd.stores.database import sync_directory
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
CHUNK = 1 << 20
"""Bytes read at a time when a file is hashed or copied."""


class OpenBlob:
    """``core.content.Blob``: a descriptor on an immutable file; stays readable when the blob is deleted meanwhile."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.size = os.fstat(self._descriptor).st_size

    def fileno(self) -> int:
        """The descriptor; it belongs to this object."""
        return self._descriptor

    def pread(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at ``offset``."""
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        """Give the descriptor back; more than once is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> OpenBlob:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Files:
    """The directory tree of one content store."""

    def __init__(self, root: str) -> None:
        self.root = root
        os.makedirs(root, mode=0o700, exist_ok=True)  # layers hold what their makers thought only root would read
        os.chmod(root, 0o700)
        for algorithm in ALGORITHMS:
            os.makedirs(os.path.join(root, "blobs", algorithm), mode=0o755, exist_ok=True)
        os.makedirs(os.path.join(root, "ingest"), mode=0o755, exist_ok=True)
        for directory in (os.path.join(root, "blobs"), root):
            sync_directory(directory)

    # -- blobs ------------------------------------------------------------------------------------------------------

    def blob(self, digest: str) -> str:
        """The path of a blob's file. Raises InvalidArgument."""
        algorithm, encoded = split_digest(digest)
        return os.path.join(self.root, "blobs", algorithm, encoded)

    def blobs(self) -> Iterator[tuple[str, int]]:
        """(digest, size) of every blob file; leftovers of an interrupted ``place`` are removed on the way."""
        for algorithm, length in ALGORITHMS.items():
            with os.scandir(os.path.join(self.root, "blobs", algorithm)) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        os.unlink(entry.path)
                    elif len(entry.name) == length and entry.is_file(follow_symlinks=False):
                        yield f"{algorithm}:{entry.name}", entry.stat(follow_symlinks=False).st_size

    def place(self, data: str, digest: str) -> None:
        """Give the synced file ``data`` its blob name, durably; what has that name already is replaced."""
        target = self.blob(digest)
        directory, name = os.path.split(target)
        # Two ingests may be about to become the same blob: each has a temporary name of its own.
        temporary = os.path.join(directory, f".{name}.{os.path.basename(os.path.dirname(data))}")
        with naming(target):
            remove_file(temporary)
            try:
                os.link(data, temporary)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                temporary = data  # the ingest gives its bytes away; after a crash right now it starts anew
            hit("content.place.linked")
            os.replace(temporary, target)
            # Renaming onto another link of the same file does nothing and leaves the old name.
            remove_file(temporary)
            sync_directory(directory)

    def remove_blob(self, digest: str) -> None:
        """Delete a blob's file, if there is one."""
        remove_file(self.blob(digest))

    def quarantine(self, path: str) -> None:
        """Move a file or directory out of the way without losing it."""
        directory = os.path.join(self.root, "quarantine")
        os.makedirs(directory, mode=0o700, exist_ok=True)
        name, count = os.path.basename(path), 0
        while os.path.lexists(os.path.join(directory, f"{name}.{count}")):
            count += 1
        os.rename(path, os.path.join(directory, f"{name}.{count}"))

    # -- ingests ----------------------------------------------------------------------------------------------------

    def ingest(self, namespace: str, sequence: int, ref: str) -> str:
        """The directory of an ingest."""
        name = hashlib.sha256(f"{namespace}/{sequence}/{ref}".encode()).hexdigest()
        return os.path.join(self.root, "ingest", name)

    def ingests(self) -> Iterator[str]:
        """Every directory under ``ingest``."""
        with os.scandir(os.path.join(self.root, "ingest")) as entries:
            yield from sorted(entry.path for entry in entries)

    def make_ingest(self, directory: str, ref: str, total: int, started: datetime) -> None:
        """Make the directory and its descriptive files; ``data`` comes with the writer."""
        with naming(directory):
            os.makedirs(directory, mode=0o755, exist_ok=True)
            begun = started.isoformat()
            for name, text in (("ref", ref), ("total", str(total)), ("startedat", begun), ("updatedat", begun)):
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(text)

    def remove_ingest(self, directory: str) -> None:
        """Delete an ingest's directory, if there is one."""
        shutil.rmtree(directory, ignore_errors=True)


class naming:  # noqa: N801 — reads as a statement
    """Turns the OSErrors of a block into errors that name the file and the remedy."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            if error.errno in _FULL:
                raise ResourceExhausted("content store", self._path, "no space left on its disk: free some") from error
            raise Unavailable("content store", self._path, f"{error.strerror}: check its disk and retry") from error


def remove_file(path: str) -> None:
    """Unlink, with nothing to do for a missing file."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def shared(descriptor: int) -> bool:
    """Whether the file has another name, and must therefore not be written to."""
    return os.fstat(descriptor).st_nlink > 1


def modified(path: str) -> float | None:
    """Modification time in seconds, or None for a missing file."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_mtime if stat.S_ISREG(found.st_mode) else None
