"""Sizes and durations as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.units import (
    human_duration,
    human_size,
    parse_bytes,
    parse_duration,
    parse_nano_cpus,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("42", 42), ("32b", 32), ("512m", 512 << 20), ("1.5g", 3 << 29), ("64KiB", 64 << 10), ("1Tb", 1 << 40)],
)
def test_sizes(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", "1..5g", "1 2", "٣m", "1e3", "1mm"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_bytes(text)
    assert f'"{text}"' in str(caught.value) or text == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("90s", 90), ("1m30s", 90), ("1h", 3600), ("1.5s", 1.5), ("300ms", 0.3), ("5us", 5e-6)],
)
def test_durations(text: str, value: float) -> None:
    assert parse_duration(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1d", "1h foo", "1..s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_duration(text)


def test_cpus() -> None:
    assert parse_nano_cpus("1.5") == 1_500_000_000
    assert parse_nano_cpus(".25") == 250_000_000
    for bad in ("", "-1", "1.5.2", "two", "0.1234567891"):
        with pytest.raises(InvalidArgument):
            parse_nano_cpus(bad)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_240_000, "1.24MB"), (999_999, "1MB"), (77_400_000, "77.4MB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_size(size) == text


def test_binary_sizes_for_people() -> None:
    assert human_size(348 << 10, binary=True) == "348KiB"
    assert human_size(1 << 30, binary=True) == "1GiB"


@given(st.integers(min_value=0, max_value=1 << 62))
def test_a_size_for_people_is_short_and_has_no_exponent(size: int) -> None:
    assert "e" not in human_size(size).lower().replace("eb", "")
    assert len(human_size(size, binary=True)) <= 9


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "Less than a second"),
        (1, "1 second"),
        (45, "45 seconds"),
        (61, "About a minute"),
        (180, "3 minutes"),
        (3700, "About an hour"),
        (7300, "2 hours"),
        (200_000, "2 days"),
        (1_300_000, "2 weeks"),
        (8_000_000, "3 months"),
        (70_000_000, "2 years"),
    ],
)
def test_how_long_it_lasted(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
