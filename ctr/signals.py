"""Signals by name or number, without importing ``signal``."""

from __future__ import annotations

from ctr.errors import UsageError

_NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU "
    "URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()
RTMIN, RTMAX = 34, 64


def parse_signal(text: str) -> int:
    """``SIGTERM``, ``term``, ``15``, ``RTMIN+3``: the number on x86 and arm. Raises UsageError."""
    if text.isdigit() and 0 < int(text) <= RTMAX:
        return int(text)
    name = text.upper().removeprefix("SIG")
    if name in _NAMES:
        return _NAMES.index(name) + 1
    for base, start in (("RTMIN", RTMIN), ("RTMAX", RTMAX)):
        rest = name.removeprefix(base)
        if rest != name and (not rest or rest[1:].isdigit()) and RTMIN <= start + int(rest or 0) <= RTMAX:
            return start + int(rest or 0)
    raise UsageError(f"Invalid signal: {text}", "give a name such as SIGTERM, or a number")
