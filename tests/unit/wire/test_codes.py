"""The code table is gRPC's."""

from __future__ import annotations

import grpc

from pycontainerd.wire import codes
from pycontainerd.wire.codec import names
from pycontainerd.wire.messages.google_rpc import Code


def test_names_and_numbers_are_those_of_grpc_and_google_rpc() -> None:
    assert {code.name: code.value[0] for code in grpc.StatusCode} == codes.VALUES
    assert {value: name for name, value in codes.VALUES.items()} == names(Code)
    assert all(getattr(codes, name) == value for name, value in codes.VALUES.items())


def test_an_unknown_code_is_shown_as_a_number() -> None:
    assert codes.name(5) == "NOT_FOUND"
    assert codes.name(99) == "CODE(99)"
