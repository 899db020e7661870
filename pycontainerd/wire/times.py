"""Times on the wire: `google.protobuf.Timestamp` and nanoseconds since 1970.

A time that is not set is sent as the first second of the year 1, which is what containerd's clients take for "never";
a Timestamp left out would be read by them as 1970.
"""

from __future__ import annotations

from time import time_ns

from pycontainerd.wire.messages.google import Timestamp

UNSET_SECONDS = -62135596800
_SECOND = 1_000_000_000


def now() -> Timestamp:
    """The present time."""
    return from_ns(time_ns())


def from_ns(nanoseconds: int) -> Timestamp:
    """A Timestamp from nanoseconds since 1970; times before count their nanos forward, as protobuf has it."""
    seconds, nanos = divmod(nanoseconds, _SECOND)
    return Timestamp(seconds=seconds, nanos=nanos)


def to_ns(timestamp: Timestamp) -> int:
    """Nanoseconds since 1970."""
    return timestamp.seconds * _SECOND + timestamp.nanos


def unset() -> Timestamp:
    """The time that means "not yet"."""
    return Timestamp(seconds=UNSET_SECONDS)


def is_set(timestamp: Timestamp | None) -> bool:
    """Whether a time was given: neither left out nor the year 1."""
    return timestamp is not None and timestamp.seconds != UNSET_SECONDS
