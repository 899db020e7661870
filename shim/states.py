"""What may be asked of a process in which state: a table, and its one reader."""

from __future__ import annotations

from shim.errors import unknown

CREATED = "created"
RUNNING = "running"
PAUSED = "paused"
STOPPED = "stopped"

STATUS = {CREATED: 1, RUNNING: 2, STOPPED: 3, PAUSED: 4}
"""The states as containerd.v1.types.Status."""

ALLOWED = {
    "start": (CREATED,),
    "pause": (RUNNING,),
    "resume": (PAUSED,),
    "exec": (CREATED, RUNNING),
    "update": (CREATED, RUNNING, PAUSED),
    "checkpoint": (RUNNING, PAUSED),
    "delete": (CREATED, STOPPED),
}
"""Verb to the states in which it works. What is not here works in any (kill has rules of its own)."""


def check(verb: str, state: str) -> None:
    """Raise RpcError UNKNOWN, as containerd's own shim does, when `verb` does not fit the state."""
    if state not in ALLOWED[verb]:
        article = "an" if state[0] in "aeiou" else "a"
        raise unknown(f"cannot {verb} {article} {state} process")
