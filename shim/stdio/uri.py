"""Where a stream goes, as clients write it: a FIFO's path, or a URI whose scheme names the kind of output."""

from __future__ import annotations

from shim.errors import invalid

SCHEMES = ("fifo", "file", "binary", "binary-v2", "json-file", "cri", "journald", "none", "attach")
"""What `parse` accepts; a plain path counts as `fifo`."""

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}


class Target:
    """A parsed stream: scheme, absolute path (empty where the scheme has none), and query pairs in their order."""

    __slots__ = ("path", "query", "scheme")

    def __init__(self, scheme: str, path: str, query: list[tuple[str, str]]) -> None:
        self.scheme = scheme
        self.path = path
        self.query = query

    def get(self, key: str, default: str = "") -> str:
        """The first value of a query key."""
        for name, value in self.query:
            if name == key:
                return value
        return default


def parse(text: str) -> Target:
    """The target a stream's text names. Raises RpcError INVALID_ARGUMENT saying what is wrong with it."""
    head, colon, rest = text.partition(":")
    if text.startswith("/") or not colon:
        if not text.startswith("/"):
            raise invalid(f"stdio path {text!r} is not absolute")
        return Target("fifo", text, [])
    if head not in SCHEMES:
        raise invalid(f"stdio {text!r}: unknown scheme {head!r} (known: {', '.join(SCHEMES)})")
    place, _, question = rest.partition("?")
    query = [_pair(item) for item in question.split("&") if item]
    if head in ("none", "attach"):
        return Target(head, "", query)
    path = unquote(place[2:]) if place.startswith("//") else unquote(place)
    if head == "journald" and not path:
        return Target(head, "", query)
    if not path.startswith("/"):
        raise invalid(f"stdio {text!r}: the path must be absolute, as in {head}:///path")
    if "\0" in path:
        raise invalid(f"stdio {text!r}: the path holds a NUL byte")
    return Target(head, path, query)


def _pair(item: str) -> tuple[str, str]:
    key, _, value = item.partition("=")
    return unquote(key.replace("+", " ")), unquote(value.replace("+", " "))


def unquote(text: str) -> str:
    """Undo percent encoding; what is no valid escape stays as it is."""
    if "%" not in text:
        return text
    out = bytearray()
    first, *others = text.split("%")
    out += first.encode()
    for part in others:
        try:
            out.append(int(part[:2], 16) if len(part) >= 2 and part[:2].isalnum() else _none())
            out += part[2:].encode()
        except ValueError:
            out += b"%" + part.encode()
    return out.decode("utf-8", "replace")


def _none() -> int:
    raise ValueError


def size_of(text: str, key: str) -> int:
    """A size such as 10m, 512k or 4096 in bytes; -1 means no limit. Raises RpcError INVALID_ARGUMENT naming the key."""
    if text.strip() == "-1":
        return -1
    digits = text.strip().lower()
    number = digits.rstrip("bkmg")
    unit = digits[len(number) :]
    if not number.isascii() or not number.isdigit() or unit not in _UNITS or int(number) == 0:
        raise invalid(f"log option {key}={text!r} is no size; write it as 10m or 512k")
    return int(number) * _UNITS[unit]


def count_of(text: str, key: str) -> int:
    """A positive number. Raises RpcError INVALID_ARGUMENT naming the key."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise invalid(f"log option {key}={text!r} is no positive number")
    return int(text)


def flag_of(text: str, key: str) -> bool:
    """A yes or no. Raises RpcError INVALID_ARGUMENT naming the key."""
    lowered = text.strip().lower()
    if lowered in ("true", "1", "yes", "t"):
        return True
    if lowered in ("false", "0", "no", "f"):
        return False
    raise invalid(f"log option {key}={text!r} must be true or false")
