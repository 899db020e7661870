"""Where streams go, as clients write it."""

from __future__ import annotations

import string
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.wire.codes import INVALID_ARGUMENT, RpcError
from shim.stdio.uri import SCHEMES, count_of, flag_of, parse, size_of, unquote


@given(st.text(min_size=1).filter(lambda text: "\0" not in text and "\ud800" not in text))
def test_paths_survive_quoting(text: str) -> None:
    assert unquote(quote(text)) == text
    assert parse(f"file:///{quote(text)}").path == f"/{text}"


@given(st.dictionaries(st.text(string.printable, min_size=1), st.text(string.printable)))
def test_queries_are_those_of_urlencode(pairs: dict[str, str]) -> None:
    target = parse(f"json-file:///log?{urlencode(pairs)}")
    assert dict(target.query) == pairs


@given(st.text())
def test_whatever_comes_is_understood_or_refused(text: str) -> None:
    try:
        target = parse(text)
    except RpcError as error:
        code = error.code
    else:
        code = INVALID_ARGUMENT
        assert target.scheme in SCHEMES
        assert target.path.startswith("/") or target.scheme in ("none", "attach")
    assert code == INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("text", "scheme", "path"),
    [
        ("/run/x/in", "fifo", "/run/x/in"),
        ("fifo:///run/x", "fifo", "/run/x"),
        ("file:///a%20b", "file", "/a b"),
        ("binary:///bin/log?k=v&f", "binary", "/bin/log"),
        ("attach:", "attach", ""),
        ("none:", "none", ""),
    ],
)
def test_forms(text: str, scheme: str, path: str) -> None:
    target = parse(text)
    assert (target.scheme, target.path) == (scheme, path)


def test_the_order_of_a_query_is_kept() -> None:
    assert parse("binary:///x?b=1&a=2&c").query == [("b", "1"), ("a", "2"), ("c", "")]


SIZES = [("10m", 10 << 20), ("512K", 512 << 10), ("1g", 1 << 30), ("77", 77), ("-1", -1)]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes(text: str, size: int) -> None:
    assert size_of(text, "max-size") == size


@pytest.mark.parametrize("text", ["", "0", "m", "10x", "1.5m", "-2", "٣"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(RpcError, match="max-size"):
        size_of(text, "max-size")


def test_numbers_and_flags() -> None:
    assert count_of("3", "max-file") == 3
    assert flag_of("True", "compress")
    assert not flag_of("0", "compress")
    for read, text in ((count_of, "0"), (count_of, "x"), (flag_of, "perhaps")):
        with pytest.raises(RpcError, match="key"):
            read(text, "key")
