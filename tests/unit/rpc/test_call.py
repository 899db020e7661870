from __future__ import annotations

import pytest

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, Unknown
from pycontainerd.rpc.call import Call, first_values


def call(**metadata: str) -> Call:
    return Call("/s/M", {key.replace("_", "-"): value for key, value in metadata.items()})


def test_the_first_value_of_a_repeated_key_wins_and_binary_ones_are_left_out() -> None:
    pairs: list[tuple[str, str | bytes]] = [
        ("Containerd-Namespace", "a"),
        ("containerd-namespace", "b"),
        ("x-bin", b"\0"),
    ]
    assert first_values(pairs) == {"containerd-namespace": "a"}


@pytest.mark.parametrize("header", ["containerd_namespace", "containerd_namespace_ttrpc"])
def test_either_header_names_the_namespace(header: str) -> None:
    assert call(**{header: "moby"}).namespace == "moby"


def test_the_grpc_header_goes_first_unless_it_is_empty() -> None:
    assert call(containerd_namespace="a", containerd_namespace_ttrpc="b").namespace == "a"
    assert call(containerd_namespace="", containerd_namespace_ttrpc="b").namespace == "b"


def test_a_missing_namespace_is_a_failed_precondition_and_a_bad_one_an_invalid_argument() -> None:
    with pytest.raises(FailedPrecondition):
        _ = call().namespace
    with pytest.raises(FailedPrecondition):
        _ = call(containerd_namespace="").namespace
    with pytest.raises(InvalidArgument):
        _ = call(containerd_namespace="not/valid").namespace


@pytest.mark.parametrize("value", ["", "not/valid"])
def test_where_the_contract_leaves_the_error_unmapped_it_is_unknown(value: str) -> None:
    with pytest.raises(Unknown):
        _ = call(containerd_namespace=value).unmapped_namespace


def test_lease_and_trace_are_empty_when_not_sent() -> None:
    assert (call().lease, call().traceparent) == ("", "")
    assert call(containerd_lease="l", traceparent="t").lease == "l"
