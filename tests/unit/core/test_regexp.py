"""RE2 patterns on Python's engine."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.core.regexp import compile_re2


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("", "", True),
        ("b", "abc", True),
        ("^b", "abc", False),
        ("c$", "abc", True),
        ("c$", "abc\n", False),
        ("(?m)c$", "abc\nd", True),
        ("(?m)^d", "abc\nd", True),
        (r"c\z", "abc", True),
        (r"\Aab", "abc", True),
        ("a.c", "a\nc", False),
        ("(?s)a.c", "a\nc", True),
        ("(?s:a.)c", "a\nc", True),
        ("(?i)ABC", "xabcx", True),
        ("a(?i)b|c", "C", True),
        ("a(?i)b|c", "AB", False),
        ("(?:a(?i)b)c", "aBC", False),
        ("(?i:[^a])", "A", False),
        (r"\d", "٣", False),
        (r"\d", "3", True),
        (r"\w", "é", False),
        (r"\s", "\v", False),
        (r"\bfoo\b", "éfooé", True),
        (r"\pL", "é", True),
        (r"\p{Lu}", "é", False),
        (r"\p{^Lu}", "é", True),
        (r"\PL", "é", False),
        ("[[:alpha:]]+", "42", False),
        ("[[:^digit:]]", "4a", True),
        ("[]a]", "]", True),
        ("[a-]", "-", True),
        ("[[a]", "[", True),
        ("[a&&b]", "&", True),
        (r"[\d\-x]", "-", True),
        (r"[^\D]", "a", False),
        (r"\Qa.c\E", "abc", False),
        (r"\Qa.c", "a.c", True),
        (r"\x41\x{1F600}\101\n", "A\U0001f600A\n", True),
        ("a{2}", "aa", True),
        ("a{,2}", "a{,2}", True),
        ("x{", "x{", True),
        ("(?P<n>a)(?<m>b)", "ab", True),
        ("a|", "zzz", True),
        ("(a*)*", "b", True),
        ("^*a", "a", True),
        ("a+?b??", "a", True),
        (r"\/\-\_\:", "/-_:", True),
    ],
)
def test_as_go_has_it(pattern: str, text: str, found: bool) -> None:
    compiled = compile_re2(pattern)
    assert compiled is not None
    assert (compiled.search(text) is not None) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", r"(a)\1", "(?P=n)", "(?>a)", "(?#c)", "a**", "a+*", "a*+", "a{2}{3}",
        "*a", "(*)", "(|+)", "(", ")", "[", "[a", "[b-a]", "[[:nope:]]", "a{1001}", "a{3,2}", r"\Z", r"\C", r"\k",
        r"\8", r"\x", r"\x{110000}", r"\p{Nonsense}", r"\p", "(?z)a", "(?)", "\\", "(?i", r"[\Z]", "(?P<1>a)",
    ],
)  # fmt: skip
def test_what_go_refuses_is_refused(pattern: str) -> None:
    assert compile_re2(pattern) is None


@given(st.text())
def test_a_quoted_text_finds_itself(text: str) -> None:
    literal = "".join(f"\\x{{{ord(char):x}}}" for char in text)
    compiled = compile_re2(literal)
    assert compiled is not None
    assert compiled.search(f"before{text}after")


@given(st.text(st.sampled_from("ab^$.*+?|()[]{}\\dwpL-,0:1iPQE<>=!&~ \n")))
def test_any_pattern_compiles_or_is_refused(pattern: str) -> None:
    compiled = compile_re2(pattern)
    assert compiled is None or isinstance(compiled, re.Pattern)
