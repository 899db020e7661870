"""JSON on the interpreter's own C scanner and encoder.

The `json` package imports `re` and `enum`; a shim has use for neither.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

quote = encode_basestring_ascii
"""A string as a JSON string, quotes included, in ASCII."""

_SPACE = " \t\r\n"
_SPACES = tuple(_SPACE)


class _Context:
    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo = None


_scan = make_scanner(_Context)  # type: ignore[arg-type]


def loads(data: bytes | str) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError."""
    text = data.decode() if isinstance(data, bytes) else data
    try:
        value, end = _scan(text, skip_space(text, 0))
    except StopIteration as stop:
        raise ValueError(f"not JSON at character {stop.value}") from None
    except (SystemError, ImportError, RecursionError):
        # The scanner reports a syntax error through the json package, which is not loaded here.
        raise ValueError("not JSON") from None
    if text[end:].strip(_SPACE):
        raise ValueError(f"something follows the JSON at character {end}")
    return value


def first(text: str, at: int = 0) -> Any:
    """The JSON value that begins at a place in a text, whatever follows; None when none begins there."""
    try:
        return _scan(text, skip_space(text, at))[0]
    except (StopIteration, SystemError, ImportError, RecursionError, ValueError):
        return None


def skip_space(text: str, at: int) -> int:
    """The first place from here on that is no space."""
    while text[at : at + 1] in _SPACES:
        at += 1
    return at


def dumps(value: Any) -> str:
    """A value of dicts, lists, strings, numbers, booleans and None as compact ASCII JSON. Raises TypeError."""
    if isinstance(value, str):
        return str(quote(value))
    encoder = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, True)
    return "".join(encoder(value, 0))


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} has no JSON form")
