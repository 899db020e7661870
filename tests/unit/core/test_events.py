"""Topics."""

from __future__ import annotations

import pytest

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.events import validate_topic


@pytest.mark.parametrize("good", ["/tasks/exit", "/a", "/a/b/c-d_e.f"])
def test_topics(good: str) -> None:
    assert validate_topic(good) == good


@pytest.mark.parametrize("bad", ["", "/", "tasks/exit", "/tasks/", "//", "/a b", "/é"])
def test_what_is_no_topic(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        validate_topic(bad)
