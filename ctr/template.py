"""``--format`` with Go's text/template, as far as people use it with Docker.

Text with actions in ``{{ }}`` (``{{-`` and ``-}}`` trim white space): fields (``.State.Status``), variables, pipelines,
``if``/``else if``/``else``, ``range`` (with index and value, with ``else``), ``with``, ``end``, comments; the functions
of text/template that make sense here and Docker's own (``json``, ``upper``, ``lower``, ``title``, ``split``, ``join``,
``pad``, ``truncate``, ``println``). A template is parsed once and executed with any value made of dicts, lists and
scalars. Every mistake is a TemplateError that names it.
"""

from __future__ import annotations

from ctr.errors import Failure
from ctr.template_fields import ROOT, UNKNOWN, look_up_anything
from ctr.template_functions import FUNCTIONS, show, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    LookUp = Callable[[dict[str, Any], str, str], Any]
    Scope = dict[str, Any]


class TemplateError(Failure):
    """Raised for a template that cannot be parsed (exit code 64) or executed (1)."""

    def __init__(self, message: str) -> None:
        super().__init__(f"template: {message}", "see pkg.go.dev/text/template", 64)


class Template:
    """A parsed template; ``execute`` gives the text for a value. ``look_up`` finds fields in its dicts."""

    def __init__(self, source: str, look_up: LookUp = look_up_anything) -> None:
        parser = _Parser(source)
        self._nodes, self._look_up = parser.block(()), look_up

    def execute(self, value: Any) -> str:
        """The text for ``value``."""
        out: list[str] = []
        try:
            _Run(out, value, self._look_up).block(self._nodes, value, {"$": value})
        except TemplateError as error:
            error.code = 1
            raise
        return "".join(out)


# -- parsing: a template is a list of nodes (kind, …) --


class _Parser:
    def __init__(self, source: str) -> None:
        self._items = list(_split(source))

    def block(self, ends: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """Nodes up to one of the keywords ``ends``, which is left for the caller."""
        nodes: list[tuple[Any, ...]] = []
        while self._items:
            kind, text = self._items[0]
            if kind == "text":
                self._items.pop(0)
                nodes.append(("text", text))
                continue
            word = text.split(None, 1)[0] if text.split() else ""
            if word in ends:
                return nodes
            self._items.pop(0)
            nodes.append(self._action(word, text))
        if ends:
            raise TemplateError("unexpected EOF: an {{end}} is missing")
        return nodes

    def _action(self, word: str, text: str) -> tuple[Any, ...]:
        if word in ("if", "with", "range"):
            return self._control(word, text[len(word) :])
        if word in ("end", "else"):
            raise TemplateError(f"unexpected {{{{{word}}}}}")
        if word in ("define", "template", "block", "break", "continue"):
            raise TemplateError(f"{{{{{word}}}}} is not offered")
        return ("print", *_declaration(text))

    def _control(self, word: str, text: str) -> tuple[Any, ...]:
        names, pipe = _declaration(text)
        body = self.block(("end", "else"))
        _, closing = self._items.pop(0)
        other: list[tuple[Any, ...]] = []
        if closing.split()[0] == "else":
            rest = closing.split(None, 1)[1:] or [""]
            if rest[0].startswith(("if ", "with ")):
                inner = rest[0].split(None, 1)[0]
                return (word, names, pipe, body, [self._control(inner, rest[0][len(inner) :])])
            other = self.block(("end",))
            self._items.pop(0)
        return (word, names, pipe, body, other)


def _split(source: str) -> Iterable[tuple[str, str]]:
    rest, trim = source, False
    while True:
        before, found, after = rest.partition("{{")
        text = before.lstrip() if trim else before
        if not found:
            if text:
                yield "text", text
            return
        inner, rest = _action_end(after)
        if inner.startswith("- ") or inner == "-":
            inner, text = inner[1:], text.rstrip()
        trim = inner.endswith(" -")
        inner = inner[:-1] if trim else inner
        if text:
            yield "text", text
        if not inner.strip().startswith("/*"):
            if not inner.strip():
                raise TemplateError("missing value for command")
            yield "action", inner.strip()


def _action_end(text: str) -> tuple[str, str]:
    """Split behind the ``}}`` that closes an action, not looking into strings."""
    quote, index = "", 0
    while index < len(text):
        char = text[index]
        if quote:
            if char == "\\" and quote == '"':
                index += 1
            elif char == quote:
                quote = ""
        elif char in "\"`'":
            quote = char
        elif text.startswith("}}", index):
            return text[:index], text[index + 2 :]
        index += 1
    raise TemplateError("unclosed action: }} is missing")


def _declaration(text: str) -> tuple[list[str], list[list[Any]]]:
    """``$a, $b := pipeline`` as names and pipeline."""
    head, found, tail = text.partition(":=")
    if found and head.strip().startswith("$"):
        return [name.strip() for name in head.split(",")], _pipeline(_tokens(tail))
    return [], _pipeline(_tokens(text))


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    index = 0
    while index < len(text):
        char = text[index]
        if char.isspace():
            index += 1
            continue
        start = index
        if char in "()|":
            index += 1
        elif char in "\"`'":
            index = _string_end(text, index)
        else:
            while index < len(text) and not text[index].isspace() and text[index] not in '()|"`':
                index += 1
            if index == start:
                raise TemplateError(f"unexpected {char!r}")
        tokens.append(text[start:index])
        if char == ")" and text[index : index + 1] == ".":  # (index . 0).Field
            start = index
            while index < len(text) and not text[index].isspace() and text[index] not in "()|":
                index += 1
            tokens.append("\0" + text[start:index])
    return tokens


def _string_end(text: str, start: int) -> int:
    index = start + 1
    while index < len(text) and text[index] != text[start]:
        index += 2 if text[index] == "\\" and text[start] != "`" else 1
    if index >= len(text):
        raise TemplateError("unterminated quoted string")
    return index + 1


def _pipeline(tokens: list[str]) -> list[list[Any]]:
    """A list of commands, each a list of terms."""
    commands: list[list[Any]] = [[]]
    while tokens:
        token = tokens.pop(0)
        if token == "|":
            commands.append([])
        elif token == ")":
            tokens.insert(0, token)
            break
        elif token == "(":
            inner = _pipeline(tokens)
            if not tokens or tokens.pop(0) != ")":
                raise TemplateError("unclosed left parenthesis")
            path = tokens.pop(0)[1:] if tokens and tokens[0].startswith("\0") else ""
            commands[-1].append(("pipe", inner, path))
        else:
            commands[-1].append(_term(token))
    if not all(commands):
        raise TemplateError("missing value for command")
    return commands


_WORDS = {"true": True, "false": False, "nil": None}


def _term(token: str) -> tuple[Any, ...]:
    if token[0] == ".":
        return ("field", token)
    if token[0] == "$":
        return ("variable", token)
    if token[0] in '"`':
        return ("value", _unquote(token))
    if token[0] == "'":
        return ("value", ord(_unquote('"' + token[1:-1] + '"')))
    if token in _WORDS:
        return ("value", _WORDS[token])
    if token[0].isdigit() or (token[0] in "+-" and token[1:2].isdigit()):
        try:
            return ("value", float(token) if "." in token else int(token, 0))
        except ValueError as error:
            raise TemplateError(f"bad number: {token}") from error
    if token not in FUNCTIONS:
        raise TemplateError(f'function "{token}" not defined')
    return ("function", token)


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "0": "\0"}


def _unquote(token: str) -> str:
    if token[0] == "`":
        return token[1:-1]
    parts = iter(token[1:-1])
    return "".join(_escaped(next(parts, "")) if char == "\\" else char for char in parts)


def _escaped(char: str) -> str:
    return _ESCAPES.get(char, char)


# -- executing --


class _Run:
    def __init__(self, out: list[str], root: Any, look_up: LookUp) -> None:
        self._out, self._root, self._look_up = out, root, look_up

    def block(self, nodes: list[tuple[Any, ...]], dot: Any, scope: Scope) -> None:
        for node in nodes:
            getattr(self, "_" + node[0])(node, dot, scope)

    def _text(self, node: tuple[Any, ...], _dot: Any, _scope: Scope) -> None:
        self._out.append(node[1])

    def _print(self, node: tuple[Any, ...], dot: Any, scope: Scope) -> None:
        value = self.evaluate(node[2], dot, scope)
        if node[1]:
            scope[node[1][0]] = value
        else:
            self._out.append(show(value))

    def _if(self, node: tuple[Any, ...], dot: Any, scope: Scope) -> None:
        _, names, pipe, body, other = node
        value = self.evaluate(pipe, dot, scope)
        self.block(body if truth(value) else other, dot, self._bound(scope, names, value))

    def _with(self, node: tuple[Any, ...], dot: Any, scope: Scope) -> None:
        _, names, pipe, body, other = node
        value = self.evaluate(pipe, dot, scope)
        if truth(value):
            self.block(body, value, self._bound(scope, names, value))
        else:
            self.block(other, dot, dict(scope))

    def _range(self, node: tuple[Any, ...], dot: Any, scope: Scope) -> None:
        _, names, pipe, body, other = node
        items = list(_pairs(self.evaluate(pipe, dot, scope)))
        for key, value in items:
            inner = dict(scope)
            if len(names) == 2:
                inner[names[0]], inner[names[1]] = key, value
            elif names:
                inner[names[0]] = value
            self.block(body, value, inner)
        if not items:
            self.block(other, dot, dict(scope))

    @staticmethod
    def _bound(scope: Scope, names: list[str], value: Any) -> Scope:
        return {**scope, names[0]: value} if names else dict(scope)

    def evaluate(self, pipeline: list[list[Any]], dot: Any, scope: Scope) -> Any:
        """The value of a pipeline: each command's goes to the next as its last argument."""
        given: list[Any] = []
        for command in pipeline:
            given = [self._command(command, given, dot, scope)]
        return given[0]

    def _command(self, terms: list[Any], given: list[Any], dot: Any, scope: Scope) -> Any:
        first, rest = terms[0], terms[1:]
        if first[0] != "function":
            if len(rest) == 1 and first[0] == "field" and first[1].endswith(".Label"):
                return _label(self.follow(dot, first[1] + "s"), self._value(rest[0], dot, scope))
            if rest or given:
                raise TemplateError("a value cannot be called with arguments")
            return self._value(first, dot, scope)
        name = first[1]
        arguments = [self._value(term, dot, scope) for term in rest] + given
        try:
            return FUNCTIONS[name](*arguments)
        except (TypeError, ValueError, AttributeError) as error:
            raise TemplateError(f"error calling {name}: {error}") from error
        except (IndexError, KeyError) as error:
            raise TemplateError(f"error calling {name}: there is no {error}") from error

    def _value(self, term: tuple[Any, ...], dot: Any, scope: Scope) -> Any:
        kind = term[0]
        if kind == "value":
            return term[1]
        if kind == "field":
            return self.follow(dot, term[1])
        if kind == "variable":
            name, point, path = term[1].partition(".")
            if name not in scope:
                raise TemplateError(f"undefined variable {name}")
            return self.follow(scope[name], point + path)
        if kind == "pipe":
            return self.follow(self.evaluate(term[1], dot, scope), term[2])
        return self._command([term], [], dot, scope)

    def follow(self, value: Any, path: str) -> Any:
        """``.A.B`` from a value. Raises TemplateError, UnknownField."""
        parent = ROOT if value is self._root else UNKNOWN
        for name in path.split(".") if path else ():
            if not name:
                continue
            if isinstance(value, dict):
                value = self._look_up(value, name, parent)
            elif value is None:
                raise TemplateError(f"nil has no field {name}")
            else:
                raise TemplateError(f"can't evaluate field {name} in a {_kind(value)}")
            parent = name
        return value


def _label(labels: Any, key: Any) -> str:
    """``.Label "key"`` of a row, Docker's one method: the value among ``a=1,b=2``."""
    pairs = (pair.partition("=") for pair in str(labels or "").split(","))
    return next((value for name, _, value in pairs if name == key), "")


def _kind(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "list"}
    return names.get(type(value), type(value).__name__)


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, list | tuple):
        return enumerate(value)
    if value is None:
        return ()
    if isinstance(value, int) and not isinstance(value, bool):
        return ((number, number) for number in range(value))
    raise TemplateError(f"range can't iterate over {show(value)}")
