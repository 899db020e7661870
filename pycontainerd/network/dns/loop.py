"""A selector loop with timers: what the DNS responder runs on. One thread; handlers never block."""

from __future__ import annotations

import heapq
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Timer:
    """Something to be done later, unless it is cancelled before."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget about it; also when it is done already."""
        self.action = None

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due


class Loop:
    """Descriptors with their handlers, and timers.

    A handler gets the events that came. What one raises is counted and noted, and ends nothing: one sandbox's trouble
    must not take the names from all others.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self.errors = 0
        self.last_error = ""

    def add(self, descriptor: int, handler: Callable[[int], None], events: int = READ) -> None:
        """Watch a descriptor."""
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def want(self, descriptor: int, events: int) -> None:
        """Watch it for other events."""
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Stop watching it; before it is closed."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do something after a while."""
        timer = Timer(time.monotonic() + seconds, action)
        heapq.heappush(self._timers, timer)
        return timer

    def turn(self) -> None:
        """Wait for something to happen, and handle it."""
        for descriptor, events in self._epoll.poll(self._pause()):
            handler = self._handlers.get(descriptor)
            if handler is not None:
                self._guarded(handler, events)
        now = time.monotonic()
        while self._timers and self._timers[0].due <= now:
            timer = heapq.heappop(self._timers)
            if timer.action is not None:
                self._guarded(timer.action)

    def _pause(self) -> float:
        """Seconds until the next timer, -1 for none; cancelled ones in front are dropped."""
        while self._timers and self._timers[0].action is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].due - time.monotonic()) + 0.001 if self._timers else -1.0

    def _guarded(self, action: Callable[..., None], *arguments: int) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001 - see the class
            self.errors += 1
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "?"
            self.last_error = f"{type(error).__name__}: {error} ({where})"
