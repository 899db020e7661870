"""Command lines: a table of flags, a parser with the rules of Docker's (pflag), and the help text made from the table.

Our own instead of argparse, because argparse and what it imports cost 8 ms, a third of what starting may take, and has
other rules: here ``-itv /a:/b``, ``--rm=false``, ``-e A=1`` after ``-e B=2`` and "flags end at the image's name" hold.
"""

from __future__ import annotations

from ctr.errors import FlagError, UsageError
from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    T = TypeVar("T")

BOOL, STRING, INT, LIST, OPTIONAL = "", "string", "int", "list", "optional"
"""Kinds. LIST flags may be repeated; OPTIONAL ones take a value only behind ``=``."""


class Flag:
    """One flag. ``metavar`` stands in the help for the value, ``default`` is shown there when it is not empty."""

    __slots__ = ("default", "help", "kind", "metavar", "name", "short")

    def __init__(
        self, name: str, short: str, kind: str, help: str, *, default: str = "", metavar: str | None = None
    ) -> None:
        self.name, self.short, self.kind, self.help, self.default = name, short, kind, help, default
        self.metavar = kind if metavar is None else metavar

    @property
    def spelling(self) -> str:
        """How messages call it: ``-m, --memory``."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def flag(name: str, short: str, kind: str, help: str, *, default: str = "", metavar: str | None = None) -> Flag:
    """A row of a flag table."""
    return Flag(name, short, kind, help, default=default, metavar=metavar)


class Values:
    """What a command line said: one typed look-up a kind; a flag that is not in the table is a KeyError."""

    __slots__ = ("_flags", "_values")

    def __init__(self, flags: Iterable[Flag]) -> None:
        self._flags = {flag.name: flag for flag in flags}
        self._values: dict[str, list[str]] = {}

    def add(self, name: str, value: str) -> None:
        """Record one occurrence."""
        self._values.setdefault(name, []).append(value)

    def given(self, name: str) -> bool:
        """Whether the flag stood on the command line."""
        return name in self._values

    def flag(self, name: str) -> Flag:
        """The row of the table."""
        return self._flags[name]

    def text(self, name: str) -> str:
        """The last value, or the default."""
        default = self._flags[name].default
        return self._values.get(name, [default])[-1]

    def on(self, name: str) -> bool:
        """Whether a BOOL flag is set."""
        return self.text(name) == "true"

    def number(self, name: str) -> int:
        """The last value of an INT flag, 0 by default."""
        return int(self.text(name) or 0)

    def items(self, name: str) -> list[str]:
        """All values of a LIST flag, in order."""
        return list(self._values.get(name, ()))


class Command:
    """What a verb tells about itself.

    ``usage`` is what follows the verb in the usage line. ``least``/``most`` count arguments (``most`` -1: any number).
    ``interspersed``: flags may follow arguments, too (not for ``run`` and ``exec``, where those belong to the command).
    ``failure``: exit code of a failure before anything ran.
    """

    __slots__ = ("example", "failure", "flags", "interspersed", "least", "most", "name", "notes", "summary", "usage")

    def __init__(
        self,
        name: str,
        usage: str,
        summary: str,
        flags: Sequence[Flag] = (),
        *,
        least: int = 0,
        most: int = -1,
        interspersed: bool = True,
        failure: int = 1,
        example: str = "",
        notes: str = "",
    ) -> None:
        self.name, self.usage, self.summary, self.flags = name, usage, summary, flags
        self.least, self.most, self.interspersed, self.failure = least, most, interspersed, failure
        self.example, self.notes = example, notes


HELP = Flag("help", "h", BOOL, "Print usage")


def parse(flags: Sequence[Flag], words: Sequence[str], *, interspersed: bool = True) -> tuple[Values, list[str]]:
    """Split ``words`` into flag values and arguments. Raises FlagError, in pflag's words.

    ``--help`` is always known (and ``-h`` unless the table has one): look for ``given("help")``.
    """
    known = [*flags, HELP]
    names = {flag.name: flag for flag in known}
    shorts = {flag.short: flag for flag in reversed(known) if flag.short}
    values = Values(known)
    arguments: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if word.startswith("--"):
            _long(word, names, rest, values)
        elif word.startswith("-") and len(word) > 1:
            _shorts(word, shorts, rest, values)
        else:
            arguments.append(word)
            if not interspersed:
                arguments += rest
                break
    return values, arguments


def _long(word: str, names: dict[str, Flag], rest: list[str], values: Values) -> None:
    name, equals, value = word[2:].partition("=")
    flag = names.get(name)
    if flag is None:
        raise FlagError(f"unknown flag: --{name}")
    if not equals:
        value = _value(flag, rest, f"--{name}")
    values.add(name, _checked(flag, value))


def _shorts(word: str, shorts: dict[str, Flag], rest: list[str], values: Values) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = shorts.get(letter)
        if flag is None:
            raise FlagError(f"unknown shorthand flag: '{letter}' in {word}")
        if letters.startswith("="):
            values.add(flag.name, _checked(flag, letters[1:]))
            return
        if letters and flag.kind not in (BOOL, OPTIONAL):
            values.add(flag.name, _checked(flag, letters))
            return
        values.add(flag.name, _checked(flag, _value(flag, rest, f"'{letter}' in {word}")))


def _value(flag: Flag, rest: list[str], spelling: str) -> str:
    if flag.kind == BOOL:
        return "true"
    if flag.kind == OPTIONAL:
        return ""
    if not rest:
        raise FlagError(f"flag needs an argument: {spelling}")
    return rest.pop(0)


_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


def _checked(flag: Flag, value: str) -> str:
    if flag.kind == BOOL:
        if value in _TRUE:
            return "true"
        if value in _FALSE:
            return "false"
        raise FlagError(f'invalid argument "{value}" for "{flag.spelling}" flag: give true or false')
    if flag.kind == INT:
        digits = value.removeprefix("-").removeprefix("+")
        if not (digits.isdigit() and digits.isascii() and len(value) - len(digits) <= 1):
            raise FlagError(f'invalid argument "{value}" for "{flag.spelling}" flag: give a whole number')
    return value


def converted(values: Values, name: str, how: Callable[[str], T]) -> T | None:
    """The flag's value through ``how``, None when it is not given; its InvalidArgument becomes a FlagError."""
    if not values.given(name):
        return None
    try:
        return how(values.text(name))
    except InvalidArgument as error:
        spelling = values.flag(name).spelling
        raise FlagError(f'invalid argument "{values.text(name)}" for "{spelling}" flag', error.hint) from error


def check_count(command: Command, arguments: Sequence[str]) -> None:
    """Raise UsageError, in Docker's words, when there are too few or too many arguments."""
    count = len(arguments)
    if count >= command.least and (command.most < 0 or count <= command.most):
        return
    if command.least == command.most:
        wanted = f"exactly {command.least} argument{'s' * (command.least != 1)}" if command.least else "no arguments"
        if not command.least:
            raise UsageError(f'"pyctr {command.name}" accepts no arguments.')
    elif count < command.least:
        wanted = f"at least {command.least} argument{'s' * (command.least != 1)}"
    else:
        wanted = f"at most {command.most} argument{'s' * (command.most != 1)}"
    raise UsageError(f'"pyctr {command.name}" requires {wanted}.')


def help_text(command: Command, spellings: Sequence[str]) -> str:
    """The text of ``--help``, in Docker's manner. ``spellings``: all the ways to say the verb."""
    parts = [f"Usage:  pyctr {command.name} {command.usage}".rstrip(), command.summary]
    if command.notes:
        parts.append(command.notes)
    if len(spellings) > 1:
        parts.append("Aliases:\n  " + ", ".join("pyctr " + spelling for spelling in spellings))
    if command.example:
        lines = command.example.strip().splitlines()
        parts.append("Examples:\n" + "\n".join("  " + line for line in lines))
    if command.flags:
        parts.append("Options:\n" + "\n".join(flag_lines(command.flags)))
    return "\n\n".join(parts) + "\n"


def flag_lines(flags: Sequence[Flag]) -> list[str]:
    """One line a flag: spelling, kind of value, help, default."""
    rows = []
    for item in sorted(flags, key=lambda item: item.name):
        left = f"  -{item.short}, --{item.name}" if item.short else f"      --{item.name}"
        if item.kind == OPTIONAL:
            left += f"[={item.metavar}]"
        elif item.metavar:
            left += " " + item.metavar
        default = ""
        if item.default and item.default != "false":
            default = f" (default {item.default})" if item.kind in (INT, BOOL) else f' (default "{item.default}")'
        rows.append((left, item.help + default))
    width = max(len(left) for left, _ in rows) + 3
    return [left.ljust(width) + text for left, text in rows]
