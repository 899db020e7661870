"""JSON to and from Python values, without the ``json`` package: it imports ``re`` and ``enum``, which costs 6 ms.

The C functions below that package are enough; CPython has them since 2.6.
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Options:
    """What the C scanner reads its settings from."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> float:
        """NaN and the infinities."""
        return float(name)


_SPACE = " \t\r\n"


def loads(text: str | bytes) -> Any:
    """The value of a whole JSON document; raise ValueError."""
    if not isinstance(text, str):
        text = text.decode()  # UnicodeDecodeError is a ValueError
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _scan(text, start)
    except StopIteration as error:
        raise ValueError(f"there is no JSON value at character {error.value}") from None
    except SystemError:
        # The C code finds the class of its error only where the package is loaded: let that say what is wrong.
        import json

        return json.loads(text)
    if text[end:].strip(_SPACE):
        raise ValueError(f"something follows the JSON value at character {end}")
    return value


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is no JSON type")


def dumps(value: Any) -> str:
    """``value`` as one line of JSON, with no spaces."""
    return "".join(_encode(value, 0))


_scan = make_scanner(_Options)  # type: ignore[arg-type]  # any object with these attributes will do
_encode = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, True)
