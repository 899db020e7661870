"""Times on the wire."""

from __future__ import annotations

import time

from google.protobuf import timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.wire import times
from pycontainerd.wire.messages.google import Timestamp


@given(st.integers(-62135596800 * 10**9, 253402300799 * 10**9))
def test_nanoseconds_come_back_and_agree_with_google(nanoseconds: int) -> None:
    mine = times.from_ns(nanoseconds)
    theirs = timestamp_pb2.Timestamp()
    theirs.FromNanoseconds(nanoseconds)
    assert (mine.seconds, mine.nanos) == (theirs.seconds, theirs.nanos)
    assert times.to_ns(mine) == nanoseconds


def test_now() -> None:
    assert abs(times.to_ns(times.now()) - time.time_ns()) < 10**9


def test_the_year_1_is_the_time_that_is_not_set() -> None:
    unset = times.unset()
    assert (unset.seconds, unset.nanos) == (-62135596800, 0)
    assert Timestamp.decode(unset.encode()) == unset
    assert not times.is_set(unset)
    assert not times.is_set(None)
    assert times.is_set(times.now())
    assert times.is_set(Timestamp())
