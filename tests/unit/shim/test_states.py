"""The table of states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.wire.codes import UNKNOWN, RpcError
from shim.states import ALLOWED, STATUS, check


@given(st.sampled_from(sorted(ALLOWED)), st.sampled_from(sorted(STATUS)))
def test_what_the_table_does_not_allow_is_refused_in_words(verb: str, state: str) -> None:
    if state in ALLOWED[verb]:
        check(verb, state)
        return
    with pytest.raises(RpcError) as caught:
        check(verb, state)
    assert caught.value.code == UNKNOWN
    assert caught.value.message == f"cannot {verb} a {state} process"


def test_states_have_containerds_numbers() -> None:
    assert STATUS == {"created": 1, "running": 2, "stopped": 3, "paused": 4}
