"""The functions of templates, and how values are printed and judged there: as Go does it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MISSING = "<no value>"


def truth(value: Any) -> bool:
    """Go's: neither false, zero, nil nor empty."""
    return bool(value)


def show(value: Any) -> str:
    """As Go's fmt prints it."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(item) for item in value) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _json(value: Any) -> str:
    from pycontainerd.client.jsontext import dumps

    return dumps(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else value[key]
    return value


def _slice(value: Any, *bounds: int) -> Any:
    return value[slice(*bounds)] if len(bounds) != 1 else value[bounds[0] :]


def _compare(how: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def compare(first: Any, *others: Any) -> bool:
        return any(how(first, other) for other in others)

    return compare


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _printf(how: str, *values: Any) -> str:
    return how.replace("%v", "%s").replace("%q", '"%s"') % tuple(
        show(value) if isinstance(value, bool | dict | list) or value is None else value for value in values
    )


def _pad(text: str, left: int, right: int) -> str:
    return " " * left + text + " " * right if text else ""


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "eq": _compare(lambda a, b: a == b),
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "html": lambda text: show(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
    "index": _index,
    "join": lambda values, separator: separator.join(show(value) for value in values or ()),
    "json": _json,
    "le": lambda a, b: a <= b,
    "len": lambda value: len(value or ()),
    "lower": lambda text: show(text).lower(),
    "lt": lambda a, b: a < b,
    "ne": lambda a, b: a != b,
    "not": lambda value: not truth(value),
    "or": _or,
    "pad": _pad,
    "print": lambda *values: "".join(show(value) for value in values),
    "printf": _printf,
    "println": lambda *values: " ".join(show(value) for value in values) + "\n",
    "slice": _slice,
    "split": lambda text, separator: text.split(separator),
    "title": lambda text: show(text)[:1].upper() + show(text)[1:],
    "truncate": lambda text, length: show(text)[:length],
    "upper": lambda text: show(text).upper(),
}
