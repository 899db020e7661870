"""How processes ended: the records that the built-in shim leaves in a bundle, and what subscribers were told.

A record is there before its event is published, and a line in the bundle's ``published`` file after, so a daemon that
was away knows which exits nobody has heard of.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING

from pycontainerd.core.tasks import Exit
from pycontainerd.core.values import EPOCH
from pycontainerd.runtime.bundle import read_file
from pycontainerd.runtime.convert import stamp_of
from pycontainerd.wire.messages.events_task import TaskDelete, TaskExit

if TYPE_CHECKING:
    from pycontainerd.core.bundle import Bundle

INIT = "init"
_EXEC = "exec."
KILLED = 137
"""128 plus SIGKILL: the status of an init that was killed because its shim had died."""
UNKNOWN = 255
"""The status reported when nobody knows."""
NO_PID = 0xFFFFFFFF
"""What a shim's delete action answers for a pid it does not know (-1)."""


def process_name(exec_id: str) -> str:
    """The name of a process's record: ``init`` or ``exec.<id>``."""
    return f"{_EXEC}{exec_id}" if exec_id else INIT


def read_records(bundle: Bundle) -> dict[str, Exit]:
    """All exit records of a bundle by process name; a malformed one is as good as none."""
    records: dict[str, Exit] = {}
    try:
        names = os.listdir(bundle.exits)
    except OSError:
        return records
    for name in names:
        if name != INIT and not name.startswith(_EXEC):
            continue
        record = parse_record(read_file(f"{bundle.exits}/{name}"), name.removeprefix(_EXEC) if name != INIT else "")
        if record is not None:
            records[name] = record
    return records


def parse_record(data: bytes, exec_id: str) -> Exit | None:
    """Parse ``{"pid", "status", "seconds", "nanos"}``; None for anything else."""
    try:
        value = json.loads(data)
        time = EPOCH + timedelta(seconds=int(value["seconds"]), microseconds=int(value["nanos"]) // 1000)
        return Exit(int(value["pid"]), int(value["status"]), time, exec_id)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def exit_event(id: str, exit: Exit) -> TaskExit:
    """The /tasks/exit payload; the init process bears the container's id."""
    return TaskExit(
        container_id=id, id=exit.id or id, pid=exit.pid, exit_status=exit.status, exited_at=stamp_of(exit.at)
    )


def delete_event(id: str, exit: Exit) -> TaskDelete:
    """The /tasks/delete payload."""
    return TaskDelete(container_id=id, pid=exit.pid, exit_status=exit.status, exited_at=stamp_of(exit.at))
