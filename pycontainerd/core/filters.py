"""Filters: the small language by which list requests and event subscriptions select.

A request carries a list of filters. Items of the list are alternatives; the comma-separated selectors inside one item
must all hold; no filters, or an empty one, select everything.

    selector  = fieldpath [ operator value ]          a bare fieldpath asks for presence
    fieldpath = field *( "." field )                  field = 1*( ALPHA / DIGIT / "_" ) / quoted
    operator  = "==" / "!=" / "~="                    ``~=`` searches with an RE2 pattern
    value     = quoted / 1*( graphic, no comma )

Double quotes enclose Go string escapes. ``/`` and ``|`` enclose the pattern of a ``~=``, where backslashes belong to
the pattern. An unknown field is absent, never an error: ``!=`` holds for it, ``~=`` sees an empty string, and a pattern
that does not compile matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.regexp import compile_re2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycontainerd.core.errors import PycontainerdError

Adaptor = Callable[[Sequence[str]], "tuple[str, bool]"]
"""Looks a field path up in one object: (value, present)."""
Matcher = Callable[[Adaptor], bool]

MAX_LENGTH = 64 << 10
"""Longest filter that is looked at, in characters."""

_FIELD = re.compile(r"[A-Za-z0-9_]+")
_OPERATOR = re.compile(r"[=!~]+")
_SPACE = re.compile(r"\s*")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\[^\n])*)"')
_ALTERNATE = re.compile(r"(?P<quote>[/|])((?:(?!(?P=quote))[^\\\n]|\\[^\n])*)(?P=quote)")
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\\"])|(?P<octal>[0-7]{3})|x(?P<byte>[0-9A-Fa-f]{2})"
    r"|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})|(?P<bad>))"
)
_SIMPLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}


class Selector(NamedTuple):
    """One condition; an empty ``operator`` asks for presence."""

    path: tuple[str, ...]
    operator: str = ""
    value: str = ""


def compile(  # noqa: A001 — as in re.compile
    filters: Sequence[str], error: type[PycontainerdError] = InvalidArgument
) -> Matcher:
    """Turn a request's filters into a predicate on adaptors.

    Raises ``error`` for a filter that does not parse; some calls of the contract answer Unknown there.
    """
    alternatives: list[list[Matcher]] = []
    for text in filters:
        try:
            selectors = parse(text)
        except ValueError as problem:
            raise error("filter", text[:200], str(problem)) from None
        if not selectors:
            return _everything
        alternatives.append([_matcher(selector) for selector in selectors])
    if not alternatives:
        return _everything
    return lambda adaptor: any(all(matches(adaptor) for matches in selectors) for selectors in alternatives)


def map_field(mapping: Mapping[str, str], path: Sequence[str]) -> tuple[str, bool]:
    """Look up the rest of a path in labels or annotations; keys contain dots, so the parts are joined again."""
    value = mapping.get(".".join(path))
    return ("", False) if value is None else (value, True)


def text_field(value: str) -> tuple[str, bool]:
    """A string field: present when not empty."""
    return value, bool(value)


ABSENT = ("", False)
"""What an adaptor answers for a field it does not know."""


def _everything(_adaptor: Adaptor) -> bool:
    return True


def _matcher(selector: Selector) -> Matcher:
    path, operator, wanted = selector
    if operator == "==":
        return lambda adaptor: adaptor(path) == (wanted, True)
    if operator == "!=":
        return lambda adaptor: adaptor(path)[0] != wanted
    if operator == "~=":
        pattern = compile_re2(wanted)
        if pattern is None:
            return lambda adaptor: False
        search = pattern.search
        return lambda adaptor: search(adaptor(path)[0]) is not None
    return lambda adaptor: adaptor(path)[1]


def parse(text: str) -> list[Selector]:
    """The selectors of one filter; empty for a blank one. Raises ValueError saying where and why."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    parser = _Parser(text)
    return parser.selectors() if text.strip() else []


class _Parser:
    """A cursor over one filter; every step skips the white space before its token."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def selectors(self) -> list[Selector]:
        found = [self._selector()]
        while self._peek() == ",":
            self._at += 1
            found.append(self._selector())
        if self._peek():
            raise self._error("unexpected input")
        return found

    def _peek(self) -> str:
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches the empty string
        return self._text[self._at : self._at + 1]

    def _error(self, problem: str) -> ValueError:
        return ValueError(f"{problem} at position {self._at + 1}")

    def _selector(self) -> Selector:
        path = [self._field()]
        while self._peek() == ".":
            self._at += 1
            path.append(self._field())
        if self._peek() in {"", ","}:
            return Selector(tuple(path))
        match = _OPERATOR.match(self._text, self._at)
        if match is None:
            raise self._error("expected an operator (==, != or ~=)")
        if match[0] not in {"==", "!=", "~="}:
            raise self._error(f"unknown operator {match[0]}, expected ==, != or ~=")
        self._at = match.end()
        return Selector(tuple(path), match[0], self._value(alternate=match[0] == "~="))

    def _field(self) -> str:
        if self._peek() == '"':
            return self._quoted()
        match = _FIELD.match(self._text, self._at)
        if match is None:
            raise self._error("expected a field name or a double-quoted string")
        self._at = match.end()
        return match[0]

    def _value(self, *, alternate: bool) -> str:
        char = self._peek()
        if char == '"':
            return self._quoted()
        if char in {"/", "|"}:
            match = _ALTERNATE.match(self._text, self._at) if alternate else None
            if match is None:
                raise self._error("pattern is not closed" if alternate else f"{char} may only quote the value of a ~=")
            self._at = match.end()
            return match[2]
        start = self._at
        if char not in {"=", "!", "~", "."}:
            while self._at < len(self._text) and _is_value(self._text[self._at]):
                self._at += 1
        if self._at == start:
            raise self._error("expected a value")
        return self._text[start : self._at]

    def _quoted(self) -> str:
        match = _QUOTED.match(self._text, self._at)
        if match is None:
            raise self._error("quoted string is not closed")
        try:
            value = unquote(match[1])
        except ValueError:
            raise self._error("bad escape in the quoted string") from None
        self._at = match.end()
        return value


def _is_value(char: str) -> bool:
    return char != "," and not char.isspace() and char.isprintable()


def unquote(body: str) -> str:
    """Resolve the escapes of a Go string without its quotes; raises ValueError. Byte escapes make up UTF-8 together."""
    if "\\" not in body:
        return body
    out = bytearray()
    at = 0
    for match in _ESCAPE.finditer(body):
        if match.start() < at:
            continue  # the second half of an escaped backslash
        out += body[at : match.start()].encode()
        at = match.end()
        out += _unescape(match)
    out += body[at:].encode()
    return out.decode(errors="replace")


def _unescape(match: re.Match[str]) -> bytes:
    kind = match.lastgroup or "bad"
    text = match[kind]
    if kind == "simple":
        return bytes((_SIMPLE[text],))
    if kind in {"octal", "byte"}:
        return bytes((int(text, 8 if kind == "octal" else 16),))  # more than 255 is a ValueError, as it should be
    if kind == "bad":
        raise ValueError("unknown escape")
    return chr(int(text, 16)).encode()
