"""Signals as people write them: ``SIGTERM``, ``term``, ``15``, ``RTMIN+3`` (numbers of Linux on x86 and arm)."""

from __future__ import annotations

_NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU "
    "URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()
TERM, KILL = 15, 9
_RTMIN, _RTMAX = 34, 64


def signal_number(text: str, default: int = TERM) -> int:
    """The number of a signal; ``default`` for no text and for one that means no signal."""
    if text.isascii() and text.isdigit():
        return int(text) if 0 < int(text) <= _RTMAX else default
    name = text.upper().removeprefix("SIG")
    if name in _NAMES:
        return _NAMES.index(name) + 1
    for base, start in (("RTMIN", _RTMIN), ("RTMAX", _RTMAX)):
        rest = name.removeprefix(base)
        if rest != name and (not rest or (rest[0] in "+-" and rest[1:].isascii() and rest[1:].isdigit())):
            number = start + int(rest or 0)
            return number if _RTMIN <= number <= _RTMAX else default
    return default
