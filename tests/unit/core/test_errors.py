"""Messages name the thing, the remedy and the class."""

from __future__ import annotations

import pytest

from pycontainerd.core import errors


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.NotFound("image", "busybox"), 'image "busybox": not found'),
        (errors.InvalidArgument("digest", "x", "want hex"), 'digest "x" (want hex): invalid argument'),
        (errors.InvalidArgument("name must not be empty"), "name must not be empty: invalid argument"),
        (errors.Unknown("it broke"), "it broke"),
        (errors.NotFound("page", 0), 'page "0": not found'),
    ],
)
def test_messages(error: errors.PycontainerdError, message: str) -> None:
    assert str(error) == message


def test_conflicts_travel_as_failed_preconditions_and_differ_in_text() -> None:
    for cls in (errors.Conflict, errors.NotModified):
        assert issubclass(cls, errors.FailedPrecondition)
        assert str(cls("image", "x")).endswith(f": {cls.text}")


def test_a_step_goes_before_the_message_and_leaves_the_class_alone() -> None:
    error = errors.NotFound("image", "busybox", "pull it").during("cannot start")
    assert str(error) == 'cannot start: image "busybox" (pull it): not found'
    assert type(error) is errors.NotFound
    assert (error.what, error.which, error.hint) == ("image", "busybox", "pull it")
