"""Signals as people write them."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.signals import signal_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGUSR1", 10), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63),
     ("", 15), ("SIGNONE", 15), ("0", 15), ("65", 15), ("RTMAX+1", 15), ("RTMINx", 15)],
)  # fmt: skip
def test_names_and_numbers(text: str, number: int) -> None:
    assert signal_number(text) == number


@given(st.text(max_size=12))
def test_whatever_is_written_there_is_a_signal(text: str) -> None:
    assert 1 <= signal_number(text) <= 64


def test_the_names_are_the_host_s() -> None:
    for member in signal.Signals:
        if member.name not in {"SIGRTMIN", "SIGRTMAX"}:
            assert signal_number(member.name) == member.value
