"""Times as people and Docker's JSON write them, and as the wire carries them; nanoseconds since 1970 in between.

Light on purpose: no ``datetime`` and no ``re``.
"""

from __future__ import annotations

import time

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.units import parse_duration
from pycontainerd.wire.times import from_ns, is_set, to_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.google import Timestamp

__all__ = ["NEVER", "from_ns", "ns", "parse_moment", "parse_rfc3339", "rfc3339"]

NEVER = "0001-01-01T00:00:00Z"
"""How Docker's JSON writes a time that has not come."""
SECOND = 1_000_000_000


def ns(timestamp: Timestamp | None) -> int:
    """Nanoseconds since 1970, 0 for a time that is not set."""
    return to_ns(timestamp) if timestamp is not None and is_set(timestamp) else 0


def rfc3339(nanoseconds: int) -> str:
    """``2026-11-21T16:55:19.123456789Z``; trailing zeros of the fraction are left out, 0 is ``NEVER``."""
    if nanoseconds == 0:
        return NEVER
    seconds, fraction = divmod(nanoseconds, SECOND)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def parse_rfc3339(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time, 0 for one before; raise ValueError.

    A date alone and a time without an offset are taken as UTC.
    """
    date, _, rest = text.strip().replace(" ", "T", 1).partition("T")
    year, month, day = (int(part) for part in date.split("-"))
    clock, offset = _split_offset(rest)
    whole, _, fraction = clock.partition(".")
    hour, minute, second = (int(part) for part in f"{whole or '0'}:0:0".split(":")[:3])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        raise ValueError(f"{text!r} is no time")
    days = _days(year, month, day)
    seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
    return max(0, seconds * SECOND + int(fraction[:9].ljust(9, "0") or 0))


def _split_offset(rest: str) -> tuple[str, int]:
    if rest.endswith(("Z", "z")):
        return rest[:-1], 0
    for sign, factor in (("+", 1), ("-", -1)):
        clock, found, offset = rest.partition(sign)
        if found:
            hours, _, minutes = offset.partition(":")
            return clock, factor * (int(hours) * 3600 + int(minutes or 0) * 60)
    return rest, 0


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar (years counted from March, so that leap days come last)."""
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


def parse_moment(text: str, now: int) -> int:
    """``10m`` (ago), Unix seconds with a fraction, or RFC 3339, as nanoseconds since 1970. Raises InvalidArgument."""
    try:
        if text.replace(".", "", 1).isdigit():
            whole, _, fraction = text.partition(".")
            return int(whole) * SECOND + int(fraction[:9].ljust(9, "0") or 0)
        if "-" in text:
            return parse_rfc3339(text)
        return now - int(parse_duration(text) * SECOND)
    except (ValueError, InvalidArgument) as error:
        raise InvalidArgument("time", text, "give 10m, 2026-01-31T10:00:00Z or Unix seconds") from error
