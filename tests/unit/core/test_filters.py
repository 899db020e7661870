"""The filter language, against containerd's documented rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core import filters
from pycontainerd.core.errors import InvalidArgument, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

LABELS = {"color": "red", "io.foo": "bar", "a/b-c": "slash", "weird,one": "x y"}


def adaptor(path: Sequence[str]) -> tuple[str, bool]:
    if path[0] == "name":
        return "busybox:latest", True
    if path[0] == "labels":
        return filters.map_field(LABELS, path[1:])
    return filters.ABSENT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("   ", True),
        ("name==busybox:latest", True),
        ("name == busybox:latest", True),
        ("name==busybox", False),
        ("name", True),
        ("nothing", False),
        ("nothing==", None),
        ("nothing!=x", True),
        ('nothing!=""', False),
        ('nothing==""', False),
        ("nothing~=/.*/", True),
        ("nothing~=/x/", False),
        ("labels.color==red", True),
        ("labels.io.foo==bar", True),
        ('labels."io.foo"==bar', True),
        ('labels."a/b-c"==slash', True),
        ('labels."a/b-c"', True),
        ('labels."weird,one"=="x y"', True),
        ("labels.color!=red", False),
        ("labels.color==red,name==nope", False),
        ("labels.color==red , name~=^busy", True),
        ("name~=busy", True),
        ("name~=/^busy/", True),
        ("name~=|^busy|", True),
        (r"name~=/box\:latest$/", True),
        (r'name~="box\\:latest$"', True),
        (r'name=="busybox\x3alatest"', True),
        (r'name=="busybox\072latest"', True),
        (r'name=="busybox\u003alatest"', True),
        ("name~=/(?=b)/", False),
        ("name~=/[/", False),
        ("labels.color==r=ed", False),
        ("name==/busy/", None),
        ("name==|busy|", None),
        ("name=='x'", False),
        ("name=busybox", None),
        ("name===x", None),
        ("name<x", None),
        ("name==a b", None),
        ("labels.==x", None),
        (".name", None),
        ("name,", None),
        ('"name', None),
        (r'name=="\q"', None),
        (r'name=="\777"', None),
        ("name~=/open", None),
        ('labels."a/b-c"==slash,labels.color~=/^r.d$/', True),
    ],
)
def test_one_filter(text: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(InvalidArgument, match="filter"):
            filters.compile([text])
    else:
        assert filters.compile([text])(adaptor) is expected


def test_items_of_a_list_are_alternatives() -> None:
    assert filters.compile(["name==nope", "labels.color==red"])(adaptor)
    assert not filters.compile(["name==nope", "labels.color==blue"])(adaptor)
    assert filters.compile(["name==nope", ""])(adaptor)
    assert filters.compile([])(adaptor)


def test_what_dockerd_subscribes_with() -> None:
    event = {"namespace": "moby", "topic": "/tasks/exit"}
    matches = filters.compile(["namespace==moby,topic~=|^/tasks/|"])
    assert matches(lambda path: (event[path[0]], True))
    event["topic"] = "/images/create"
    assert not matches(lambda path: (event[path[0]], True))


def test_the_error_class_is_the_callers_choice_and_says_where() -> None:
    with pytest.raises(Unknown, match="position 5"):
        filters.compile(["name<3"], Unknown)


def test_a_filter_of_absurd_length_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="longer than"):
        filters.compile(["a" * 100_000])


def go_quote(text: str) -> str:
    return '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'


TEXT = st.text(st.characters(codec="utf-8"))


@given(TEXT, TEXT)
def test_any_key_and_value_can_be_quoted(key: str, value: str) -> None:
    matches = filters.compile([f"labels.{go_quote(key)}=={go_quote(value)}"])
    assert matches(lambda path: filters.map_field({key: value}, path[1:]))
    assert not matches(lambda path: filters.map_field({key: value + "x"}, path[1:]))


@given(st.text())
def test_any_text_parses_or_is_refused_clearly(text: str) -> None:
    problem = ""
    try:
        selectors = filters.parse(text)
        assert all(selector.path for selector in selectors)
    except ValueError as error:
        problem = str(error)
    assert not problem or "at position" in problem or "longer" in problem


@given(st.lists(st.sampled_from(["name", "labels", ".", "==", "!=", "~=", ",", '"a"', "/x/", "|y|", " ", "v"])))
def test_any_row_of_tokens_parses_or_is_refused(tokens: list[str]) -> None:
    try:
        filters.compile(["".join(tokens)])(adaptor)
    except InvalidArgument:
        pass
