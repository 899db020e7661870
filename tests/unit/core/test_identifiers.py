"""Names and labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.identifiers import masked_labels, stored_labels, validate_identifier


@pytest.mark.parametrize("good", ["a", "A-1", "a.b_c-d", "0", "x" * 76])
def test_identifiers(good: str) -> None:
    assert validate_identifier(good) == good


@pytest.mark.parametrize("bad", ["", ".a", "a.", "a..b", "a/b", "a b", "é", "a\n", "x" * 77, "-", "a_-b"])
def test_what_is_no_identifier(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        validate_identifier(bad, "container id")


def test_empty_label_values_vanish() -> None:
    assert stored_labels({"a": "1", "b": ""}) == {"a": "1"}


def test_a_label_is_measured_in_bytes() -> None:
    assert stored_labels({"k": "v" * 4095})
    with pytest.raises(InvalidArgument, match="4097 bytes"):
        stored_labels({"k": "v" * 4096})
    with pytest.raises(InvalidArgument):
        stored_labels({"k": "é" * 2048})


def test_masks() -> None:
    old = {"a": "1", "b.c/d": "2"}
    assert masked_labels(old, {"b.c/d": "3"}, ["labels.b.c/d"]) == {"a": "1", "b.c/d": "3"}
    assert masked_labels(old, {}, ["labels.a"]) == {"b.c/d": "2"}
    assert masked_labels(old, {"a": ""}, ["labels.a"]) == {"b.c/d": "2"}
    assert masked_labels(old, {"z": "9"}, ["labels"]) == {"z": "9"}
    assert masked_labels(old, {"z": "9"}, ["spec"]) == old


KEYS = st.text(min_size=1, max_size=8)


@given(st.dictionaries(KEYS, KEYS), st.dictionaries(KEYS, KEYS))
def test_setting_each_key_equals_merging(old: dict[str, str], new: dict[str, str]) -> None:
    assert masked_labels(old, new, [f"labels.{key}" for key in new]) == {**old, **new}
