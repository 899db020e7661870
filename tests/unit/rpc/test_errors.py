from __future__ import annotations

import asyncio

import pytest

from pycontainerd.core import errors
from pycontainerd.rpc.errors import CLASSES, CODES, MAX_MESSAGE, code_of, error_from, internal, status_of
from pycontainerd.wire import codes

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PycontainerdError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_has_a_code_named_as_it_is(kind: type[errors.PycontainerdError]) -> None:
    code = code_of(kind("thing"))
    assert code is not None
    special: dict[type[errors.PycontainerdError], str] = {
        errors.Conflict: "FAILED_PRECONDITION",
        errors.NotModified: "FAILED_PRECONDITION",
    }
    wanted = special.get(kind, "".join("_" + c if c.isupper() else c for c in kind.__name__).strip("_").upper())
    if kind is not errors.PycontainerdError:
        assert codes.name(code) == wanted


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not errors.PycontainerdError])
def test_the_way_back_gives_the_same_class_and_message(kind: type[errors.PycontainerdError]) -> None:
    status = status_of(kind("blob", "sha256:0", "gone"))
    assert status is not None
    again = error_from(*status)
    assert type(again) is kind
    assert str(again) == str(kind("blob", "sha256:0", "gone"))


def test_a_subclass_without_an_entry_has_its_ancestors_code() -> None:
    class Special(errors.NotFound):
        pass

    assert status_of(Special("x")) == (codes.NOT_FOUND, "x: not found")


def test_timeouts_and_cancellation_are_answers_but_other_exceptions_are_bugs() -> None:
    assert status_of(TimeoutError()) == (codes.DEADLINE_EXCEEDED, "context deadline exceeded")
    assert status_of(asyncio.CancelledError()) == (codes.CANCELLED, "context canceled")
    assert status_of(KeyError("x")) is None


def test_a_bug_is_one_sentence_on_the_wire() -> None:
    code, message = internal(ValueError("line one\nline two"))
    assert code == codes.INTERNAL
    assert "\n" not in message
    assert "line one line two" in message


def test_messages_are_bounded() -> None:
    status = status_of(errors.InvalidArgument("label", "x" * 10_000))
    assert status is not None
    assert MAX_MESSAGE - 16 < len(status[1]) <= MAX_MESSAGE
    assert status[1].endswith(": invalid argument")


@pytest.mark.parametrize("odd", ["é☃", "%", "\x00\r", "\udcff", "\U0001f600"])
def test_bounds_hold_for_messages_that_travel_escaped(odd: str) -> None:
    status = status_of(errors.NotFound("container", odd * 10_000))
    assert status is not None
    raw = status[1].encode()
    assert sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in raw) <= MAX_MESSAGE
    assert status[1].endswith(": not found")


def test_an_unknown_code_is_unknown() -> None:
    assert type(error_from(99, "odd")) is errors.Unknown


def test_no_two_classes_share_a_code_but_the_base() -> None:
    assert len(CLASSES) == len(CODES) - 1
