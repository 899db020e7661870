"""Command lines are read as Docker's are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctr.errors import UsageError
from ctr.flags import BOOL, INT, LIST, OPTIONAL, STRING, Command, check_count, converted, flag, help_text, parse
from pycontainerd.core.units import parse_bytes

TABLE = (
    flag("detach", "d", BOOL, "In the background"),
    flag("interactive", "i", BOOL, "Keep STDIN open"),
    flag("tty", "t", BOOL, "A terminal"),
    flag("sig-proxy", "", BOOL, "Signals", default="true"),
    flag("env", "e", LIST, "Variables"),
    flag("volume", "v", LIST, "Mounts"),
    flag("name", "", STRING, "Name"),
    flag("memory", "m", STRING, "Memory", metavar="bytes"),
    flag("time", "T", INT, "Seconds", default="10"),
    flag("trace", "", OPTIONAL, "Trace", metavar="tree"),
)


def test_what_people_type() -> None:
    values, arguments = parse(
        TABLE, ["-itv", "/a:/b", "--name=web", "-e", "A=1", "-eB=2", "img", "-d"], interspersed=False
    )
    assert values.on("interactive")
    assert values.on("tty")
    assert not values.on("detach"), "flags behind the image belong to the command"
    assert values.items("volume") == ["/a:/b"]
    assert values.items("env") == ["A=1", "B=2"]
    assert values.text("name") == "web"
    assert arguments == ["img", "-d"]


def test_flags_may_follow_arguments_where_that_is_allowed() -> None:
    values, arguments = parse(TABLE, ["web", "-d", "db", "--", "-x"])
    assert values.on("detach")
    assert arguments == ["web", "db", "-x"]


def test_switches_can_be_switched_off() -> None:
    values, _ = parse(TABLE, ["--sig-proxy=false", "-d=true", "-T=5", "--trace"])
    assert not values.on("sig-proxy")
    assert values.on("detach")
    assert values.number("time") == 5
    assert values.given("trace")
    assert values.text("trace") == ""
    assert parse(TABLE, [])[0].number("time") == 10
    assert parse(TABLE, ["--trace=json"])[0].text("trace") == "json"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["-itx"], "unknown shorthand flag: 'x' in -itx"),
        (["--name"], "flag needs an argument: --name"),
        (["-de"], "flag needs an argument: 'e' in -de"),
        (["--detach=maybe"], 'invalid argument "maybe" for "-d, --detach" flag'),
        (["--time", "1.5"], 'invalid argument "1.5" for "-T, --time" flag'),
        (["-T", "--5"], 'invalid argument "--5" for "-T, --time" flag'),
    ],
)
def test_mistakes_are_named(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(TABLE, words)
    assert caught.value.message.startswith(message)


def test_a_value_that_cannot_be_read_names_the_flag_and_the_remedy() -> None:
    values, _ = parse(TABLE, ["-m", "lots"])
    with pytest.raises(UsageError, match='invalid argument "lots" for "-m, --memory" flag') as caught:
        converted(values, "memory", parse_bytes)
    assert "512m" in caught.value.hint


WORDS = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(st.lists(WORDS, max_size=8))
def test_any_command_line_is_read_or_refused(words: list[str]) -> None:
    try:
        values, arguments = parse(TABLE, words)
    except UsageError:
        return
    assert len(arguments) <= len(words)
    values.number("time")


@given(st.lists(st.tuples(st.sampled_from(["env", "volume"]), WORDS), max_size=6), st.lists(WORDS, max_size=4))
def test_what_was_given_comes_back(flags: list[tuple[str, str]], arguments: list[str]) -> None:
    words = [f"--{name}={value}" for name, value in flags]
    values, rest = parse(TABLE, [*words, "--", *arguments])
    assert rest == arguments
    for name in ("env", "volume"):
        assert values.items(name) == [value for flag, value in flags if flag == name]


def test_argument_counts() -> None:
    with pytest.raises(UsageError, match=r'"pyctr rm" requires at least 1 argument\.'):
        check_count(Command("rm", "", "", least=1), [])
    with pytest.raises(UsageError, match=r'"pyctr rename" requires exactly 2 arguments\.'):
        check_count(Command("rename", "", "", least=2, most=2), ["a"])
    with pytest.raises(UsageError, match=r'"pyctr ps" accepts no arguments\.'):
        check_count(Command("ps", "", "", most=0), ["a"])
    check_count(Command("rm", "", "", least=1), ["a", "b"])


def test_help() -> None:
    text = help_text(
        Command("run", "[OPTIONS] IMAGE", "Run it", TABLE, example="pyctr run x"), ["run", "container run"]
    )
    assert text.startswith("Usage:  pyctr run [OPTIONS] IMAGE\n\nRun it\n")
    assert "  -d, --detach         In the background\n" in text
    assert "      --sig-proxy      Signals (default true)\n" in text
    assert "pyctr run, pyctr container run" in text
