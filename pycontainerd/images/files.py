"""Files of containers, moved by confined workers: the daemon's side of ``images.filework``."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

from pycontainerd.core.archive import ChangeKind, FileInfo
from pycontainerd.core.errors import FailedPrecondition, NotFound
from pycontainerd.images.plan import read_only

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.core.archive import View
    from pycontainerd.core.values import Mount
    from pycontainerd.images.workers import Workers

_KINDS = {b"A": ChangeKind.ADDED, b"C": ChangeKind.MODIFIED, b"D": ChangeKind.DELETED}


class WorkerFiles:
    """``core.archive.ContainerFiles`` on the workers that also apply layers."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def stat(self, view: View, path: bytes, *, follow: bool) -> FileInfo:
        """Look at one path. Raises NotFound."""
        found = self._run({"op": "file-stat", **_seen(view), "path": os.fsdecode(path), "follow": follow})
        return FileInfo(found["mode"], found["size"], found["mtime"], os.fsencode(found["link"]))

    def pack(self, view: View, path: bytes, out: int, *, follow: bool = False) -> None:
        """A tar of a file or directory to ``out``. Raises NotFound; Unknown when nobody reads it."""
        self._run({"op": "file-get", **_seen(view), "path": os.fsdecode(path), "follow": follow}, out)

    def unpack(self, view: View, path: bytes, source: int) -> None:
        """A tar from ``source`` into a directory. Raises NotFound, InvalidArgument, FailedPrecondition."""
        self._run({"op": "file-put", **_seen(view, write=True), "path": os.fsdecode(path)}, source)

    def changes(
        self, lower: Sequence[Mount], upper: Sequence[Mount], hidden: Sequence[str] = ()
    ) -> list[tuple[bytes, ChangeKind]]:
        """What differs, in order; ``hidden`` paths do not count as added."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        parts: list[bytes] = []

        def collect() -> None:
            while piece := os.read(reading, 1 << 18):
                parts.append(piece)

        collector = threading.Thread(target=collect, daemon=True)
        request = {
            "op": "file-changes",
            "lower": _wire(read_only(lower)),
            "upper": _wire(read_only(upper)),
            "hidden": list(hidden),
        }
        collector.start()
        try:
            self._run(request, writing)
        finally:
            os.close(writing)
            collector.join()
            os.close(reading)
        return [(record[1:], _KINDS[record[:1]]) for record in b"".join(parts).split(b"\0") if record]

    def _run(self, request: Mapping[str, Any], descriptor: int = -1) -> dict[str, Any]:
        if descriptor >= 0:
            answer = self._workers.run(request, descriptor)
        else:
            with open(os.devnull, "r+b", buffering=0) as null:
                answer = self._workers.run(request, null.fileno())
        number = answer.get("errno")
        if number == errno.EROFS:
            raise FailedPrecondition("container rootfs is marked read-only")
        if number == errno.ENOTDIR:
            raise NotFound("not a directory", request["path"])
        if number:
            raise NotFound("Could not find the file", request["path"], os.strerror(number).lower())
        return answer


def _seen(view: View, *, write: bool = False) -> dict[str, Any]:
    mounts = view.mounts if write else read_only(view.mounts)
    binds = [[bind.source, bind.target, bind.readonly] for bind in view.binds]
    return {"root": view.root, "mounts": _wire(mounts), "binds": binds}


def _wire(mounts: Sequence[Mount]) -> list[list[Any]]:
    return [[mount.type, mount.source, mount.target, list(mount.options)] for mount in mounts]
