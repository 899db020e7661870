"""Health checks as decisions: what to run, when, and what a result says of the container (Docker's rules).

A container is ``starting`` until a check succeeds or, after the start period, ``retries`` checks in a row have failed;
from then on ``healthy`` or ``unhealthy``. Checks are ``interval`` apart, from the end of one to the start of the next;
within the start period and while ``starting``, ``start_interval``. Nothing here knows a clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE, STARTING, HEALTHY, UNHEALTHY = "none", "starting", "healthy", "unhealthy"
KEPT = 5
"""Results that are kept."""
OUTPUT_LIMIT = 4096
"""Bytes of a check's output that are kept."""
EXEC_PREFIX = "io.pycontainerd.health."
"""How the exec ids of checks begin: events about them are noise to most readers, and no history keeps them."""
FAILED = -1
"""The exit code of a check that took too long or could not be run."""
_SHELL = ("/bin/sh", "-c")
_NANOSECOND = 1e-9


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What to run in the container and how to judge it; times in seconds."""

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    start_interval: float = 5.0
    retries: int = 3


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a check."""

    start: datetime
    end: datetime
    exit_code: int
    output: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How a container is; ``results`` are the last ``KEPT``, oldest first."""

    status: str = STARTING
    streak: int = 0
    results: tuple[Result, ...] = ()


def check_of(config: Mapping[str, Any]) -> HealthCheck | None:
    """The check in a container's Docker ``Config``; None without one, for ``NONE``, and for what makes no sense."""
    given = config.get("Healthcheck")
    test = given.get("Test") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(test, list) or len(test) < 2:
        return None
    if not all(isinstance(word, str) for word in test) or test[0] not in {"CMD", "CMD-SHELL"}:
        return None
    words = tuple(test[1:])
    if test[0] == "CMD-SHELL":
        words = (*(config.get("Shell") or _SHELL), *words)
    usual = HealthCheck(words)
    return HealthCheck(
        words,
        _seconds(given, "Interval", usual.interval),
        _seconds(given, "Timeout", usual.timeout),
        _seconds(given, "StartPeriod", usual.start_period),
        _seconds(given, "StartInterval", usual.start_interval),
        _positive(given.get("Retries")) or usual.retries,
    )


def _positive(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _seconds(given: Mapping[str, Any], key: str, usual: float) -> float:
    return _positive(given.get(key)) * _NANOSECOND or usual


def pause(check: HealthCheck, health: Health, elapsed: float) -> float:
    """Seconds from now until the next check, ``elapsed`` seconds after the container's start."""
    if elapsed >= check.start_period:
        return check.interval
    wanted = check.start_interval if health.status == STARTING else check.interval
    return min(wanted, check.start_period - elapsed)


def judged(health: Health, check: HealthCheck, result: Result, elapsed: float) -> Health:
    """The health after a result whose check began ``elapsed`` seconds after the container's start."""
    results = (*health.results, result)[-KEPT:]
    if result.exit_code == 0:
        return Health(HEALTHY, 0, results)
    if health.status == STARTING and elapsed < check.start_period:
        return replace(health, results=results)
    streak = health.streak + 1
    return Health(UNHEALTHY if streak >= check.retries else health.status, streak, results)


def shown(output: bytes, *, more: bool) -> str:
    """A check's output as it is kept; ``more`` when its end was cut off."""
    return output[:OUTPUT_LIMIT].decode("utf-8", "replace") + ("..." if more or len(output) > OUTPUT_LIMIT else "")


def to_text(health: Health | None) -> str:
    """A health as it is stored; empty for none."""
    if health is None:
        return ""
    results = [[r.start.isoformat(), r.end.isoformat(), r.exit_code, r.output] for r in health.results]
    return json.dumps([health.status, health.streak, results], ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> Health | None:
    """A stored health; None for none and for one that cannot be read."""
    try:
        status, streak, results = json.loads(text)
        return Health(
            str(status),
            int(streak),
            tuple(
                Result(datetime.fromisoformat(start), datetime.fromisoformat(end), int(code), str(output))
                for start, end, code, output in results
            ),
        )
    except (ValueError, TypeError):
        return None
