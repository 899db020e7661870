"""Restart policies: the table, the pauses, and what a boot brings back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import restart
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.restart import Attempts, End, Policy, decide, from_labels, next_pause, parse, resumes

policies = st.one_of(
    st.sampled_from([Policy(name) for name in restart.POLICIES]),
    st.builds(Policy, st.just(restart.ON_FAILURE), st.integers(1, 5)),
)
ends = st.builds(End, st.integers(0, 255), st.floats(0, 100), st.booleans(), st.booleans())
attempts = st.builds(Attempts, st.integers(0, 10), st.floats(0, restart.LONGEST_PAUSE))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("no", Policy("no")),
        ("always", Policy("always")),
        ("unless-stopped", Policy("unless-stopped")),
        ("on-failure", Policy("on-failure")),
        ("on-failure:3", Policy("on-failure", 3)),
    ],
)
def test_policies_are_parsed_and_printed(text: str, policy: Policy) -> None:
    assert parse(text) == policy
    assert str(policy) == text


@pytest.mark.parametrize(
    "text", ["", "sometimes", "always:3", "on-failure:", "on-failure:x", "on-failure:-1", "on-failure:٣"]
)
def test_others_are_refused_naming_them(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert "restart policy" in str(caught.value)


def test_labels_without_a_policy_mean_always_and_bad_ones_mean_no() -> None:
    assert from_labels({}) == Policy("always")
    assert from_labels({restart.POLICY_LABEL: "on-failure:2"}) == Policy("on-failure", 2)
    assert from_labels({restart.POLICY_LABEL: "often"}) == Policy("no")


def test_pauses_double_up_to_a_minute_and_start_over_after_ten_seconds() -> None:
    pause, pauses = 0.0, []
    for _ in range(12):
        pause = next_pause(pause, 1.0)
        pauses.append(pause)
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == 60.0
    assert next_pause(60.0, 10.0) == 0.1


@pytest.mark.parametrize(
    ("policy", "end", "count", "again"),
    [
        ("no", End(1, 1.0), 0, False),
        ("always", End(0, 1.0), 99, True),
        ("always", End(0, 1.0, stopped=True), 0, False),
        ("unless-stopped", End(0, 1.0), 0, True),
        ("unless-stopped", End(0, 1.0, stopped=True), 0, False),
        ("on-failure", End(0, 1.0), 0, False),
        ("on-failure", End(1, 1.0), 99, True),
        ("on-failure:2", End(1, 1.0), 1, True),
        ("on-failure:2", End(1, 1.0), 2, False),
        ("no", End(0, 1.0, unhealthy=True), 0, True),
        ("on-failure:2", End(0, 1.0, unhealthy=True), 2, False),
        ("no", End(0, 1.0, stopped=True, unhealthy=True), 0, False),
    ],
)
def test_the_table(policy: str, end: End, count: int, again: bool) -> None:
    assert (decide(parse(policy), end, Attempts(count)) is not None) is again


@given(policies, ends, attempts)
def test_decisions_keep_their_bounds(policy: Policy, end: End, before: Attempts) -> None:
    after = decide(policy, end, before)
    if end.stopped:
        assert after is None
    if after is not None:
        assert after.count == before.count + 1
        assert restart.FIRST_PAUSE <= after.pause <= restart.LONGEST_PAUSE
        assert not policy.maximum or after.count <= policy.maximum


@given(policies, st.booleans(), st.booleans())
def test_a_boot_starts_only_what_ran_before(policy: Policy, started: bool, stopped: bool) -> None:
    again = resumes(policy, started=started, stopped=stopped)
    if again:
        assert started
        assert policy.name == "always" or (policy.name == "unless-stopped" and not stopped)
    assert resumes(Policy("always"), started=True, stopped=True)
