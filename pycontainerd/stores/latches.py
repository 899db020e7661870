"""Locks by name, made when first wanted and forgotten with their last user."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator


class Latches:
    """``with latches.hold(keys)``: nobody else holds any of the keys meanwhile. Not for a thread that holds some."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._locks: dict[Hashable, tuple[threading.Lock, list[None]]] = {}

    @contextmanager
    def hold(self, keys: Iterable[Hashable]) -> Iterator[None]:
        """Take all keys, always in one order, so that no two wait for each other."""
        with ExitStack() as stack:
            for key in sorted(set(keys), key=repr):
                stack.enter_context(self._one(key))
            yield

    @contextmanager
    def _one(self, key: Hashable) -> Iterator[None]:
        with self._gate:
            lock, waiting = self._locks.setdefault(key, (threading.Lock(), []))
            waiting.append(None)
        try:
            with lock:
                yield
        finally:
            with self._gate:
                waiting.pop()
                if not waiting:
                    del self._locks[key]
