"""JSON without the json package, held against it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.jsontext import dumps, loads

numbers = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_it_writes_what_json_reads_and_the_other_way(value: Any) -> None:
    assert json.loads(dumps(value)) == value
    assert loads(json.dumps(value, indent=2).encode()) == value
    assert loads(dumps(value)) == value


@given(st.text(max_size=40))
def test_what_json_refuses_is_refused(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - which one is no promise
            loads(text)
    else:
        assert loads(text) == expected or expected != expected


@pytest.mark.parametrize("bad", [b"", b"{", b'{"a"', b"[1,", b"{}x", b"\xff", b"[" * 100_000, b"'a'"])
def test_broken_texts(bad: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        loads(bad)


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError):
        dumps([object()])
