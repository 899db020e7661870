"""The ports of a container on one line, as ``ps`` shows them: neighbours are folded into ranges."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Json = dict[str, Any]
    Run = list[Any]

LONG = 10
"""Ports that lead to others are folded, which Docker never does, when there are more than this."""


def line(published: Json, exposed: Iterable[str]) -> str:
    """``0.0.0.0:8080->80/tcp, 0.0.0.0:443-444->443-444/tcp, 90-92/udp``.

    ``published`` is Docker's ``NetworkSettings.Ports``, ``exposed`` are ports such as ``90/udp``, or ``90-92/udp``.
    """
    runs: list[Run] = []
    for port, entries in published.items():
        number, _, proto = port.partition("/")
        for entry in entries:
            _append(runs, entry["HostIp"], proto, int(number), int(entry["HostPort"]))
    bare: list[Run] = []
    for first, last, kind in sorted(map(_split, set(exposed))):
        for inner in range(first, last + 1):
            if f"{inner}/{kind}" not in published:
                _append(bare, "", kind, inner, inner)
    return ", ".join(text for run in (*runs, *bare) for text in _texts(*run))


def _split(port: str) -> tuple[int, int, str]:
    numbers, _, proto = port.partition("/")
    low, _, high = numbers.partition("-")
    return int(low), int(high or low), proto or "tcp"


def _append(runs: list[Run], address: str, proto: str, inner: int, outer: int) -> None:
    """Lengthen the run that the port continues, or begin one: address, protocol, first ports inside and out, length."""
    for run in reversed(runs[-4:]):  # addresses of one port take turns
        if run[:2] == [address, proto] and (run[2] + run[4], run[3] + run[4]) == (inner, outer):
            run[4] += 1
            return
    runs.append([address, proto, inner, outer, 1])


def _texts(address: str, proto: str, inner: int, outer: int, length: int) -> list[str]:
    if length > 1 and inner != outer and length <= LONG:
        return [text for step in range(length) for text in _texts(address, proto, inner + step, outer + step, 1)]
    inside = f"{_range(inner, length)}/{proto}"
    return [f"{address}:{_range(outer, length)}->{inside}" if address else inside]


def _range(first: int, length: int) -> str:
    return str(first) if length == 1 else f"{first}-{first + length - 1}"
