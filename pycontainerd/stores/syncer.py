"""Work that makes recent changes durable, done in the background: once, a moment after the last request for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import PycontainerdError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)

DELAY = 1.0
"""Seconds from a request to the work: one sync serves all layers of an image."""


class Syncer:
    """Runs ``work`` on a thread of its own, which lives only while there is something to do."""

    def __init__(self, name: str, work: Callable[[], None], delay: float = DELAY) -> None:
        self._name, self._work, self._delay = name, work, delay
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._wanted = False
        self._thread: threading.Thread | None = None

    def request(self) -> None:
        """Have the work done soon; returns at once."""
        with self._lock:
            self._wanted = True
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Do now what is wanted, and wait for it."""
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            self._closing.wait(self._delay)
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                self._wanted = False
            try:
                self._work()
            except (OSError, PycontainerdError) as error:
                _log.warning("background sync failed; it is tried again after the next change",
                             name=self._name, error=str(error))  # fmt: skip
