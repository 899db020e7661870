"""Whose turn it is to have the runtime work on a container.

What changes the container as a whole (start, pause, delete …) goes alone; execs may start side by side. First come,
first served, so that a stream of execs cannot starve a delete. Nothing here is held across a request's end: whoever
takes a turn gives it back in a `finally`.
"""

from __future__ import annotations

from shim.loop import Parked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.loop import Steps


class Turns:
    """A first-come queue of takers, alone or shared."""

    __slots__ = ("_alone", "_queue", "_sharing")

    def __init__(self) -> None:
        self._alone = False
        self._sharing = 0
        self._queue: list[tuple[bool, Parked]] = []

    def take(self, shared: bool = False) -> Steps[None]:
        """Wait for a turn."""
        mine = Parked()
        self._queue.append((shared, mine))
        self._next()
        yield from mine

    def give(self, shared: bool = False) -> None:
        """Give a turn back."""
        if shared:
            self._sharing -= 1
        else:
            self._alone = False
        self._next()

    def _next(self) -> None:
        while self._queue:
            shared, parked = self._queue[0]
            if self._alone or (self._sharing and not shared):
                return
            self._queue.pop(0)
            if shared:
                self._sharing += 1
            else:
                self._alone = True
            parked.set()
