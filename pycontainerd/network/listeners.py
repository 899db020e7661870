"""Who has a port of this host: found in /proc, for error messages."""

from __future__ import annotations

import contextlib
import os

_LISTEN, _ESTABLISHED, _TIME_WAIT = "0A", "01", "06"
_CLOSING = {_TIME_WAIT, "04", "05", "08", "09", "0B"}


def listener(proto: str, port: int) -> str | None:
    """``program (pid N)`` of a socket bound to the port, "" when it has no process we can see; None for no socket.

    Connections that are only closing do not count.
    """
    inodes = {inode for name in (proto, f"{proto}6") for inode in _bound(f"/proc/net/{name}", port)}
    if not inodes:
        return None
    for pid in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):
        if _has(pid, inodes):
            return f"{_program(pid)} (pid {pid})"
    return ""


def _bound(table: str, port: int) -> list[str]:
    found = []
    with contextlib.suppress(OSError), open(table, encoding="ascii") as file:
        next(file, None)
        for line in file:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] not in _CLOSING:
                found.append(fields[9])
    return found


def _has(pid: str, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if os.readlink(entry.path) in wanted:
                    return True
    return False


def _program(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "a program"
