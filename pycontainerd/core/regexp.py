r"""RE2 patterns, as Go accepts them, for Python's ``re``.

Clients write filters for Go's regexp package. The two syntaxes agree on most things and differ quietly on some: ``$``
(Python also matches before a last newline), ``\d``, ``\w``, ``\s``, ``\b`` (ASCII in Go), ``\z``, ``\Q…\E``, ``\pL``,
``[[:alpha:]]``, flags in mid-pattern, ``{,n}`` (literal in Go). What Go refuses is refused here too, above all
look-around and back references. The translator resolves flags itself, so that the result needs none.

Syntax source: https://github.com/google/re2/wiki/Syntax. Not supported: Unicode scripts (``\p{Greek}``).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache

MAX_REPEAT = 1000
"""Largest count that Go allows in ``{n,m}``."""

Ranges = tuple[tuple[int, int], ...]
"""Inclusive code point ranges, ascending and apart."""

_DIGIT: Ranges = ((0x30, 0x39),)
_UPPER: Ranges = ((0x41, 0x5A),)
_LOWER: Ranges = ((0x61, 0x7A),)
_PERL: dict[str, Ranges] = {
    "d": _DIGIT,
    "s": ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20)),
    "w": _DIGIT + _UPPER + ((0x5F, 0x5F),) + _LOWER,
}
_POSIX: dict[str, Ranges] = {
    "alnum": _DIGIT + _UPPER + _LOWER,
    "alpha": _UPPER + _LOWER,
    "ascii": ((0, 0x7F),),
    "blank": ((0x09, 0x09), (0x20, 0x20)),
    "cntrl": ((0, 0x1F), (0x7F, 0x7F)),
    "digit": _DIGIT,
    "graph": ((0x21, 0x7E),),
    "lower": _LOWER,
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "upper": _UPPER,
    "word": _PERL["w"],
    "xdigit": (*_DIGIT, (0x41, 0x46), (0x61, 0x66)),
}
_CONTROL = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_ASSERTIONS = {"A": r"(?:\A)", "z": r"(?:\Z)", "b": r"(?a:\b)", "B": r"(?a:\B)"}
_BRACES = re.compile(r"\{(\d+)(,(\d*))?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>")


def compile_re2(pattern: str) -> re.Pattern[str] | None:
    """The pattern for ``search``, or None when Go would not accept it."""
    try:
        return re.compile(_Translator(pattern).translate())
    except (ValueError, re.error, RecursionError, OverflowError):
        return None


class _Translator:
    """A recursive descent over one pattern; raises ValueError for what RE2 refuses."""

    def __init__(self, pattern: str) -> None:
        self._text, self._at = pattern, 0

    def translate(self) -> str:
        result = self._alternatives(frozenset())
        if self._at < len(self._text):
            raise ValueError("unexpected )")
        return result

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _alternatives(self, flags: frozenset[str]) -> str:
        """Everything up to the end of the group; a flag change holds until there, across alternatives."""
        out: list[str] = []
        repeatable = False
        while (char := self._peek()) and char != ")":
            if char == "(" and (match := _FLAGS.match(self._text, self._at)) and match[3] == ")":
                flags = _changed(flags, match)
                self._at = match.end()
                repeatable = False
                continue
            if char == "|":
                self._at += 1
                out.append("|")
                repeatable = False
                continue
            repeat = self._repeat()
            if repeat:
                if not repeatable:
                    raise ValueError("nothing to repeat")
                out.append(repeat)
                repeatable = False
                continue
            out.append(self._atom(flags))
            repeatable = True
        return "".join(out)

    def _repeat(self) -> str:
        """A repetition operator at this point, or empty; a brace that opens none is a literal."""
        char = self._peek()
        if char in {"*", "+", "?"}:
            self._at += 1
        elif char == "{" and (match := _BRACES.match(self._text, self._at)):
            low, high = int(match[1]), int(match[3] or match[1])
            if max(low, high) > MAX_REPEAT or high < low:
                raise ValueError("bad repetition count")
            char = match[0]
            self._at = match.end()
        else:
            return ""
        if self._peek() == "?":
            self._at += 1
            char += "?"
        return char

    def _atom(self, flags: frozenset[str]) -> str:
        char = self._text[self._at]
        if char == "(":
            return self._group(flags)
        if char == "[":
            return _folded(self._bracket(), flags)
        if char == "\\":
            return self._escape(flags)
        self._at += 1
        if char == ".":
            return r"[\s\S]" if "s" in flags else r"[^\n]"
        if char == "^":
            return "(?m:^)" if "m" in flags else r"(?:\A)"
        if char == "$":
            return "(?m:$)" if "m" in flags else r"(?:\Z)"
        return _folded(re.escape(char), flags)

    def _group(self, flags: frozenset[str]) -> str:
        if named := _NAMED.match(self._text, self._at):
            self._at, opening = named.end(), f"(?P<{named[1]}>"
        elif scoped := _FLAGS.match(self._text, self._at):
            self._at, opening = scoped.end(), "(?:"
            flags = _changed(flags, scoped)
        elif self._text.startswith("(?", self._at):
            raise ValueError("unsupported group")
        else:
            self._at, opening = self._at + 1, "("
        inner = self._alternatives(flags)
        if self._peek() != ")":
            raise ValueError("missing )")
        self._at += 1
        return f"{opening}{inner})"

    def _escape(self, flags: frozenset[str]) -> str:
        char = self._text[self._at + 1 : self._at + 2]
        if char == "Q":
            end = self._text.find(r"\E", self._at + 2)
            literal = self._text[self._at + 2 : end if end >= 0 else len(self._text)]
            self._at = end + 2 if end >= 0 else len(self._text)
            # A repetition after \E applies to the last character alone.
            return "".join(_folded(re.escape(item), flags) for item in literal) or "(?:)"
        if char in _ASSERTIONS:
            self._at += 2
            return _ASSERTIONS[char]
        ranges = self._class_escape()
        if ranges is not None:
            return _folded(f"[{_render(ranges)}]", flags)
        return _folded(re.escape(chr(self._char_escape())), flags)

    def _class_escape(self) -> Ranges | None:
        r"""``\d``, ``\S``, ``\pL``, ``\P{Lu}`` and the like; None, and nothing consumed, for other escapes."""
        char = self._text[self._at + 1 : self._at + 2]
        if char.lower() in _PERL and char.isascii():
            self._at += 2
            ranges = _PERL[char.lower()]
            return _complement(ranges) if char.isupper() else ranges
        if char not in {"p", "P"}:
            return None
        match = re.compile(r"\{(\^?)(\w+)\}|(\w)").match(self._text, self._at + 2)
        if match is None:
            raise ValueError("bad Unicode class")
        self._at = match.end()
        ranges = _category(match[2] or match[3])
        return _complement(ranges) if (char == "P") != (match[1] == "^") else ranges

    def _char_escape(self) -> int:
        """An escape that stands for one character."""
        char = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if char in _CONTROL:
            return _CONTROL[char]
        if char == "x":
            match = re.compile(r"\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2})").match(self._text, self._at)
            if match is None:
                raise ValueError("bad hexadecimal escape")
            self._at = match.end()
            return int(match[1] or match[2], 16)
        if char and char in "01234567":
            match = re.compile(r"[0-7]{0,2}").match(self._text, self._at)
            digits = char + (match[0] if match else "")
            if len(digits) == 1 and char != "0":
                raise ValueError("back reference")
            self._at += len(digits) - 1
            return int(digits, 8)
        if not char or not char.isascii() or char.isalnum():
            raise ValueError("unknown escape")
        return ord(char)

    # -- bracket expressions ----------------------------------------------------------------------------------------

    def _bracket(self) -> str:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            ranges.extend(self._bracket_item())
            first = False
        self._at += 1
        return f"[{'^' if negated else ''}{_render(_normal(ranges))}]"

    def _bracket_item(self) -> Ranges:
        if match := re.compile(r"\[:(\^?)(\w+):\]").match(self._text, self._at):
            if match[2] not in _POSIX:
                raise ValueError("unknown class name")
            self._at = match.end()
            return _complement(_POSIX[match[2]]) if match[1] else _POSIX[match[2]]
        if self._peek() == "\\":
            ranges = self._class_escape()
            if ranges is not None:
                return ranges
        low = high = self._bracket_char()
        if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in {"", "]"}:
            self._at += 1
            high = self._bracket_char()
        if high < low:
            raise ValueError("bad range")
        return ((low, high),)

    def _bracket_char(self) -> int:
        char = self._peek()
        if not char:
            raise ValueError("missing ]")
        if char == "\\":
            return self._char_escape()
        self._at += 1
        return ord(char)


def _changed(flags: frozenset[str], match: re.Match[str]) -> frozenset[str]:
    if match[3] == ")" and not match[1] and not match[2]:
        raise ValueError("missing flags")
    return (flags | set(match[1])) - set(match[2] or "")


def _folded(pattern: str, flags: frozenset[str]) -> str:
    return f"(?i:{pattern})" if "i" in flags else pattern


def _render(ranges: Ranges) -> str:
    return "".join(f"\\U{low:08x}" if low == high else f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)


def _normal(ranges: list[tuple[int, int]]) -> Ranges:
    """Sorted, with what touches joined."""
    result: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


def _complement(ranges: Ranges) -> Ranges:
    result: list[tuple[int, int]] = []
    start = 0
    for low, high in ranges:
        if low > start:
            result.append((start, low - 1))
        start = high + 1
    if start <= sys.maxunicode:
        result.append((start, sys.maxunicode))
    return tuple(result)


@lru_cache(maxsize=64)
def _category(name: str) -> Ranges:
    """The code points of a general category such as ``L`` or ``Lu``; a scan of all of them, hence the cache."""
    if name == "Any":
        return ((0, sys.maxunicode),)
    found = _normal(
        [(code, code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith(name)]
    )
    if not found:
        raise ValueError("unknown Unicode class")
    return found
