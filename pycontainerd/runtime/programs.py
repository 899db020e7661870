"""OCI runtimes as sealed copies in memory, one of each, shared by all shims that use it. Synchronous, any thread."""

from __future__ import annotations

import shutil
import threading

import structlog

from pycontainerd.linux.sealed import Sealed, seal

_log = structlog.get_logger("runtime")


class Programs:
    """The copies by path. One that has been replaced on disk is copied anew; shims notice by themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._copies: dict[str, Sealed] = {}
        self._refused: set[str] = set()

    def get(self, name: str) -> Sealed | None:
        """A copy of the program of this name or path; None when it can only be run from its file."""
        path = shutil.which(name)
        if path is None:
            return None
        with self._lock:
            copy = self._copies.get(path)
            if copy is not None and copy.current(path):
                return copy
            self._copies.pop(path, None)
            try:
                self._copies[path] = copy = seal(path)
            except OSError as error:
                if path not in self._refused:
                    self._refused.add(path)
                    _log.debug("runtime is not copied into memory", path=path, error=str(error))
                return None
            return copy
