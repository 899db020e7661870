"""Sizes, durations and numbers as people type them on Docker's command line.

Pure and light: neither ``re`` nor ``datetime``, because the client's common verbs stand on it.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument

_BINARY = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SECONDS = (("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0))


def parse_bytes(text: str) -> int:
    """``512m``, ``1.5g``, ``64KiB``, ``100`` as bytes; units are powers of 1024 whatever they are called.

    Raises InvalidArgument for anything else, negative numbers included.
    """
    digits = text.rstrip("bBkKmMgGtTpPiI ")
    unit = text[len(digits) :].strip().lower()
    factor = _BINARY.get(unit.removesuffix("ib").removesuffix("b") if len(unit) > 1 else unit)
    if factor is None or not _is_number(digits):
        raise InvalidArgument("size", text, "give a number with b, k, m or g behind it, such as 512m")
    return int(float(digits) * factor) if "." in digits else int(digits) * factor


def _is_number(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    return (whole + fraction).isdigit() and (whole + fraction).isascii() and text.count(".") <= 1


def parse_duration(text: str) -> float:
    """``1h30m``, ``90s``, ``1.5s``, ``300ms`` as seconds; a bare ``0`` too. Raises InvalidArgument."""
    if text == "0":
        return 0.0
    total, rest, valid = 0.0, text, bool(text)
    while rest and valid:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        letters = rest[len(number) :]
        unit, factor = next((item for item in _SECONDS if letters.startswith(item[0])), ("", 0.0))
        valid = bool(unit) and _is_number(number)
        total += float(number) * factor if valid else 0.0
        rest = letters[len(unit) :]
    if not valid:
        raise InvalidArgument("duration", text, "give numbers with h, m, s or ms behind them, such as 1m30s")
    return total


def parse_nano_cpus(text: str) -> int:
    """``1.5`` CPUs as billionths of one. Raises InvalidArgument."""
    if not _is_number(text):
        raise InvalidArgument("number of CPUs", text, "give a decimal number such as 1.5")
    whole, _, fraction = text.partition(".")
    if len(fraction) > 9:
        raise InvalidArgument("number of CPUs", text, "at most nine decimals")
    return int(whole or "0") * 10**9 + int(fraction.ljust(9, "0") or "0")


def human_size(size: float, *, binary: bool = False) -> str:
    """``1.24MB`` (powers of 1000, three significant digits) or, in binary, ``1.24MiB`` with four, as Docker prints."""
    base, units = (1024.0, _IEC) if binary else (1000.0, _SI)
    step = 0
    digits = 4 if binary else 3
    while float(f"{size:.{digits}g}") >= base and step < len(units) - 1:  # rounded first: never 1e+03kB
        size /= base
        step += 1
    number = f"{size:.{digits}g}"
    return (number if "e" not in number else str(round(size))) + units[step]


_SI = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_IEC = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

_AGO = (
    (1.0, "Less than a second", 0.0),
    (2.0, "1 second", 0.0),
    (60.0, "{} seconds", 1.0),
    (120.0, "About a minute", 0.0),
    (3600.0, "{} minutes", 60.0),
    (5400.0, "About an hour", 0.0),
    (172800.0, "{} hours", 3600.0),
    (1209600.0, "{} days", 86400.0),
    (5184000.0, "{} weeks", 604800.0),
    (63072000.0, "{} months", 2592000.0),
)


def human_duration(seconds: float) -> str:
    """``About a minute``, ``3 hours``, ``2 weeks``: how long something has lasted, in Docker's words."""
    for limit, phrase, unit in _AGO:
        if seconds < limit:
            return phrase.format(_rounded(seconds, unit))
    return f"{int(seconds // 31536000)} years"


def _rounded(seconds: float, unit: float) -> int:
    if unit == 3600.0:  # hours are rounded, the rest is cut
        return int(seconds / unit + 0.5)
    return int(seconds / unit) if unit else 0
