"""Detach keys: found wherever they come, and nothing else is swallowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctr.detach import DEFAULT, Detacher, parse_keys
from ctr.errors import UsageError


def test_keys() -> None:
    assert parse_keys(DEFAULT) == b"\x10\x11"
    assert parse_keys("a,ctrl-c") == b"a\x03"
    assert parse_keys("ctrl-[,ctrl-@") == b"\x1b\x00"
    assert parse_keys("") == b""
    for bad in ("ctrl-", "ab", "ctrl-ab", "ctrl-1", "ä"):
        with pytest.raises(UsageError):
            parse_keys(bad)


@given(
    keys=st.text(alphabet="ab", min_size=1, max_size=4).map(str.encode),
    data=st.lists(st.sampled_from([b"a", b"b", b"ab", b"x", b"aab", b"abab"]), max_size=12),
)
def test_against_a_model(keys: bytes, data: list[bytes]) -> None:
    """Everything before the first occurrence of the keys goes through, whatever the pieces it comes in."""
    whole = b"".join(data)
    detacher, out = Detacher(keys), b""
    for piece in data:
        passed, complete = detacher.feed(piece)
        out += passed
        if complete:
            assert out == whole[: whole.index(keys)]
            return
    assert keys not in whole
    assert whole.startswith(out)
    assert len(whole) - len(out) < len(keys), "held back is less than a whole sequence"
    assert keys.startswith(whole[len(out) :])
