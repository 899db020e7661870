"""Filters of prunes."""

from __future__ import annotations

import time

import pytest

from ctr.errors import UsageError
from ctr.prunefilters import PruneFilter


def test_all_must_hold() -> None:
    wanted = PruneFilter(["label=a", "label=b=2", "label!=c"])
    assert wanted(1, {"a": "", "b": "2"})
    assert not wanted(1, {"a": "", "b": "3"})
    assert not wanted(1, {"a": "", "b": "2", "c": "x"})


def test_until() -> None:
    wanted = PruneFilter(["until=1h"])
    assert wanted(time.time_ns() - 2 * 3600 * 10**9, {})
    assert not wanted(time.time_ns(), {})


def test_others_are_refused() -> None:
    with pytest.raises(UsageError, match="nonsense"):
        PruneFilter(["nonsense=1"])
