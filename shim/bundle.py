"""The files a shim keeps in a container's bundle; `template` lists them for the daemon's authors."""

from __future__ import annotations

import os

from pycontainerd.linux.fds import read_file, replace_file, write_file
from pycontainerd.wire.failpoint import hit
from shim.children import Exit
from shim.jsontext import dumps, loads

_SMALL = 1 << 20


def exit_file(exec_id: str) -> str:
    """The record of how a process ended, relative to the bundle; init has no exec id."""
    return f"exits/exec.{exec_id}" if exec_id else "exits/init"


def write_exit(bundle: str, exec_id: str, ended: Exit) -> None:
    """Record how a process ended, whole or not at all. Raises OSError."""
    path = f"{bundle}/{exit_file(exec_id)}"
    record = {"pid": ended.pid, "status": ended.status, "seconds": ended.at[0], "nanos": ended.at[1]}
    data = dumps(record).encode()
    hit("shim.exit.record")
    try:
        replace_file(path, data)
    except FileNotFoundError:
        os.mkdir(os.path.dirname(path), 0o700)
        replace_file(path, data)


def read_exit(bundle: str, exec_id: str = "") -> Exit | None:
    """The record of how a process ended, None when there is none that can be read."""
    try:
        record = loads(read_file(f"{bundle}/{exit_file(exec_id)}", _SMALL))
        return Exit(int(record["pid"]), int(record["status"]), (int(record["seconds"]), int(record["nanos"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_exec(bundle: str, exec_id: str) -> None:
    """Remove what an exec has left."""
    for name in (exit_file(exec_id), pid_file(exec_id), process_file(exec_id), log_file(exec_id)):
        try:
            os.unlink(f"{bundle}/{name}")
        except OSError:
            pass


def pid_file(exec_id: str) -> str:
    """Where the runtime writes a process's pid."""
    return f"exec.{exec_id}.pid" if exec_id else "init.pid"


def process_file(exec_id: str) -> str:
    """The OCI process an exec runs."""
    return f"exec.{exec_id}.json"


def log_file(exec_id: str) -> str:
    """Where the runtime writes its messages."""
    return f"exec.{exec_id}.log.json" if exec_id else "log.json"


def read_pid(bundle: str, exec_id: str = "") -> int:
    """The pid the runtime wrote; 0 when there is none."""
    try:
        return int(read_file(f"{bundle}/{pid_file(exec_id)}", 64).strip() or b"0")
    except (OSError, ValueError):
        return 0


def write_runtime(bundle: str, binary: str, options: dict[str, object]) -> None:
    """Remember which runtime made the container and with what options, for `delete` after this process. OSError."""
    write_file(f"{bundle}/runtime", binary.encode())
    write_file(f"{bundle}/options.json", dumps(options).encode())


def read_runtime(bundle: str) -> tuple[str, dict[str, object]]:
    """What `write_runtime` remembered; empty when there is nothing."""
    try:
        binary = read_file(f"{bundle}/runtime", 4096).decode().strip()
        options = loads(read_file(f"{bundle}/options.json", _SMALL))
    except (OSError, ValueError):
        return "", {}
    return binary, options if isinstance(options, dict) else {}
