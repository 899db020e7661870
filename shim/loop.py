"""The one loop of a shim: descriptors (epoll), timers, and steps that wait.

An operation that has to wait is written as a generator (`Steps`): it does `result = yield from parked` and goes on
when somebody calls `parked.set(result)`. That keeps a create or a delete readable from top to bottom without threads,
and without asyncio, which would cost more memory than the rest of the shim.
"""

from __future__ import annotations

import select
import time
from _heapq import heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, TypeAlias, TypeVar

    from shim.log import Log

    T = TypeVar("T")
    Steps: TypeAlias = Generator["Parked", None, T]

READ: int = select.EPOLLIN
WRITE: int = select.EPOLLOUT
GONE: int = select.EPOLLHUP | select.EPOLLERR
_BATCH = 64


class Parked:
    """A result that comes later; any number of steps may wait for it."""

    __slots__ = ("_error", "_then", "_value", "done")

    def __init__(self) -> None:
        self.done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._then: list[Callable[[], None]] | None = None

    def set(self, value: Any = None) -> None:
        """Give the result; a second one is ignored."""
        self._finish(value, None)

    def fail(self, error: BaseException) -> None:
        """Raise `error` in everyone who waits."""
        self._finish(None, error)

    def then(self, act: Callable[[], None]) -> None:
        """Call `act` when there is a result (at once if there is one)."""
        if self.done:
            act()
        elif self._then is None:
            self._then = [act]
        else:
            self._then.append(act)

    def _finish(self, value: Any, error: BaseException | None) -> None:
        if self.done:
            return
        self.done, self._value, self._error = True, value, error
        waiting, self._then = self._then, None
        for act in waiting or ():
            act()

    def __iter__(self) -> Generator[Parked, None, Any]:
        if not self.done:
            yield self
        if self._error is not None:
            raise self._error
        return self._value


def drive(steps: Steps[Any], finish: Callable[[Any, BaseException | None], None]) -> None:
    """Run steps as far as they go, again whenever what they wait for is there; then call finish(value, error)."""
    try:
        while True:
            parked = next(steps)
            if not parked.done:
                parked.then(lambda: drive(steps, finish))
                return
    except StopIteration as stop:
        value, error = stop.value, None
    except Exception as caught:  # noqa: BLE001 - handed on, not handled
        value, error = None, caught
    finish(value, error)


class Timer:
    """A call in the future; `cancel()` forgets it."""

    __slots__ = ("_act", "at")

    def __init__(self, at: float, act: Callable[[], None]) -> None:
        self.at = at
        self._act: Callable[[], None] | None = act

    def cancel(self) -> None:
        """Never call it. May be said any number of times."""
        self._act = None

    def fire(self) -> None:
        """Call it, once."""
        act, self._act = self._act, None
        if act is not None:
            act()

    def __lt__(self, other: Timer) -> bool:
        return self.at < other.at


class Loop:
    """Calls back when descriptors are ready and timers are due. A callback that raises is logged and goes on."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._soon: list[Callable[[], None]] = []
        self._running = False
        self.turns = 0

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call `callback(ready events)` whenever `fd` is ready (level-triggered); replaces an earlier watch."""
        if fd in self._watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._watched[fd] = callback

    def unwatch(self, fd: int) -> None:
        """Stop watching; must come before the descriptor is closed. Unknown descriptors are fine."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, seconds: float, act: Callable[[], None]) -> Timer:
        """Call `act` after `seconds`."""
        timer = Timer(time.monotonic() + seconds, act)
        heappush(self._timers, timer)
        return timer

    def soon(self, act: Callable[[], None]) -> None:
        """Call `act` in the next turn."""
        self._soon.append(act)

    def sleep(self, seconds: float) -> Parked:
        """What steps wait for to let time pass."""
        parked = Parked()
        self.later(seconds, parked.set)
        return parked

    def close(self) -> None:
        """Give back the descriptor."""
        self._epoll.close()

    def stop(self) -> None:
        """Return from `run` at the end of this turn."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        while self._running:
            self.turn()

    def turn(self) -> None:
        """Wait for something to happen and serve it."""
        self.turns += 1
        for fd, ready in self._epoll.poll(self._timeout(), _BATCH):
            callback = self._watched.get(fd)
            if callback is not None:
                self._guard(callback, ready)
        now = time.monotonic()
        while self._timers and self._timers[0].at <= now:
            self._guard(heappop(self._timers).fire)
        waiting, self._soon = self._soon, []
        for act in waiting:
            self._guard(act)

    def _timeout(self) -> float:
        if self._soon:
            return 0.0
        if not self._timers:
            return -1.0
        return max(0.0, self._timers[0].at - time.monotonic())

    def _guard(self, act: Callable[..., None], *args: int) -> None:
        try:
            act(*args)
        except Exception as error:  # noqa: BLE001 - one broken stream must not take the container's shim down
            self._log.error(f"unexpected {type(error).__name__} in the shim's loop: {error}{where(error)}")


def where(error: BaseException) -> str:
    """The innermost places of a traceback, without the traceback module (which reads source files)."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f" ({' < '.join(reversed(places[-4:]))})" if places else ""
