"""Whole trees moved by confined workers: the daemon's side of ``images.treework``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pycontainerd.images.plan import read_only

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.core.values import Mount
    from pycontainerd.images.workers import Workers

_UNBOUNDED = {"bytes": 0, "entries": 0, "ratio": 0, "free": 0}
"""A volume's tar comes from its owner and may be as large as it is; what the volume may hold bounds it."""


class Trees:
    """``core.volumes.Trees`` on the workers that also apply layers."""

    def __init__(self, workers: Workers, limits: Mapping[str, int] | None = None) -> None:
        self._workers = workers
        self._limits = dict(limits or _UNBOUNDED)

    def copy(self, source: str, target: str) -> None:
        """Everything in ``source`` into the empty ``target``. Raises ResourceExhausted, Unknown, Unavailable."""
        self._run({"op": "copy", "source": source, "target": target})

    def copy_up(self, rootfs: Sequence[Mount], path: str, target: str) -> bool:
        """The directory ``path`` of a root filesystem into the empty ``target``; False when there is none."""
        mounts = [[mount.type, mount.source, mount.target, list(mount.options)] for mount in read_only(rootfs)]
        return bool(self._run({"op": "copy-up", "mounts": mounts, "path": path, "target": target})["found"])

    def pack(self, source: str, out: int, compression: str = "") -> None:
        """A tar of the tree to ``out``. Raises Unknown when nobody reads it, or the tree cannot be read."""
        self._run({"op": "pack", "source": source, "compression": compression}, out)

    def unpack(self, target: str, source: int) -> None:
        """A tar from ``source`` over the tree. Raises InvalidArgument (not a tar), ResourceExhausted."""
        self._run({"op": "unpack", "target": target, "limits": self._limits}, source)

    def _run(self, request: Mapping[str, Any], descriptor: int = -1) -> dict[str, Any]:
        if descriptor >= 0:
            return self._workers.run(request, descriptor)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            return self._workers.run(request, null)
        finally:
            os.close(null)
