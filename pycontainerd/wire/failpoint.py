"""Named points in the code that a test can arm to crash, stall or fail; free while nothing is armed.

``PYCONTAINERD_FAILPOINTS="name=crash;other=sleep:0.5;third=error:ENOSPC;fourth=crash@3"`` arms them in a child process;
``@N`` acts on the Nth hit only.
"""

from __future__ import annotations

import errno
import os
import signal
import time

_armed: dict[str, list[object]] = {}


def hit(name: str) -> None:
    """Act when ``name`` is armed; ``error:`` raises OSError."""
    if _armed and name in _armed:
        _act(name)


def arm(name: str, action: str) -> None:
    """Arm a point: ``crash``, ``sleep:SECONDS`` or ``error:ERRNO_NAME``, with an optional ``@N``."""
    what, _, count = action.partition("@")
    _armed[name] = [what, int(count or 0), 0]


def disarm(name: str = "") -> None:
    """Disarm one point, or all."""
    if name:
        _armed.pop(name, None)
    else:
        _armed.clear()


def _act(name: str) -> None:
    point = _armed[name]
    what, nth, seen = str(point[0]), int(str(point[1])), int(str(point[2])) + 1
    point[2] = seen
    if nth and seen != nth:
        return
    kind, _, value = what.partition(":")
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "sleep":
        time.sleep(float(value))
    elif kind == "error":
        code = getattr(errno, value)
        raise OSError(code, os.strerror(code), name)


for _item in os.environ.get("PYCONTAINERD_FAILPOINTS", "").split(";"):
    if "=" in _item:
        arm(*_item.strip().split("=", 1))
