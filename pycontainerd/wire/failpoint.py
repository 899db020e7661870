"""Named points in the code at which a test can make the process crash, stall or fail.

The environment variable `PYCONTAINERD_FAILPOINTS`, read once, arms them: `name=action;name=action`, with the actions

    crash            the process ends at once, as if killed: no cleanup, no flush
    sleep:SECONDS    the thread stalls
    error:ERRNO      OSError is raised, with the number or the name (ENOSPC) given

and `@N` after an action for the Nth hit only, counted from 1. Unarmed, a point costs one look at an empty dict.
"""

from __future__ import annotations

import errno
import os
from time import sleep

VARIABLE = "PYCONTAINERD_FAILPOINTS"
_SIGKILL = 9


class _Point:
    """What an armed point does, and how often it was hit."""

    __slots__ = ("action", "argument", "hits", "only")

    def __init__(self, action: str, argument: float, only: int) -> None:
        self.action = action
        self.argument = argument
        self.only = only
        self.hits = 0


_armed: dict[str, _Point] = {}


def hit(name: str) -> None:
    """Do what the point is armed for, if it is; raise OSError if that is to fail."""
    if _armed:
        _hit(name)


def arm(name: str, action: str) -> None:
    """Arm a point, in place of what it was armed for; raise ValueError for an action that is none."""
    _armed[name] = _parse(name, action)


def disarm(name: str = "") -> None:
    """Disarm a point, or all of them."""
    if name:
        _armed.pop(name, None)
    else:
        _armed.clear()


def suspend() -> dict[str, _Point]:
    """Disarm all points for a while; what to give to `resume`."""
    armed = dict(_armed)
    _armed.clear()
    return armed


def resume(armed: dict[str, _Point]) -> None:
    """Arm again what `suspend` disarmed, its hits as they were counted before."""
    _armed.update(armed)


def arm_from(text: str) -> None:
    """Arm the points of a `name=action;…` list; raise ValueError naming the item that is wrong."""
    for item in text.split(";"):
        if item.strip():
            name, equals, action = item.strip().partition("=")
            if not (name and equals):
                raise ValueError(f"failpoint {item!r}: write it as name=action")
            arm(name, action)


def _hit(name: str) -> None:
    point = _armed.get(name)
    if point is None:
        return
    point.hits += 1
    if point.only and point.hits != point.only:
        return
    if point.action == "crash":
        os.kill(os.getpid(), _SIGKILL)
    elif point.action == "sleep":
        sleep(point.argument)
    else:
        number = int(point.argument)
        raise OSError(number, f"{os.strerror(number)} (failpoint {name})")


def _parse(name: str, text: str) -> _Point:
    action, _, only = text.partition("@")
    verb, _, argument = action.partition(":")
    try:
        if verb == "crash" and not argument:
            value = 0.0
        elif verb == "sleep":
            value = float(argument)
        elif verb == "error":
            value = float(argument if argument.isdigit() else getattr(errno, argument))
        else:
            raise ValueError
        count = int(only) if only else 0
        if value < 0 or count < 0:
            raise ValueError
    except (ValueError, AttributeError):
        raise ValueError(
            f"failpoint {name}: {text!r} is no action; use crash, sleep:SECONDS or error:ERRNO, and @N for one hit only"
        ) from None
    return _Point(verb, value, count)


arm_from(os.environ.get(VARIABLE, ""))
