"""References to containers."""

from __future__ import annotations

import pytest

from pycontainerd.core.errors import InvalidArgument, NotFound
from pycontainerd.core.names import choose, may_be_id, plain


def test_a_slash_before_a_name_is_dropped() -> None:
    assert plain("/web") == "web"
    assert plain("web") == "web"
    for text in ("", "/", "a\nb"):
        with pytest.raises(NotFound, match="No such container"):
            plain(text)


def test_only_hex_begins_an_id() -> None:
    assert may_be_id("0af")
    assert not may_be_id("0ag")
    assert not may_be_id("")


def test_one_is_chosen_none_is_not_found_and_many_are_named() -> None:
    assert choose("a", [("a" * 64, "web")]) == ("a" * 64, "web")
    with pytest.raises(NotFound, match="No such container: a"):
        choose("a", [])
    with pytest.raises(InvalidArgument) as caught:
        choose("a", [("a" * 64, "web"), ("ab" * 32, "")])
    assert "aaaaaaaaaaaa (web), abababababab" in str(caught.value)
    with pytest.raises(InvalidArgument, match="…"):
        choose("a", [(f"a{digit}" * 32, "") for digit in range(6)])
