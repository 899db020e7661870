"""Cleaning up after a shim that died, or was never heard of again. Synchronous; call it from a thread.

The shim binary's ``delete`` action kills what still runs and lets the OCI runtime forget it; the exit records in the
bundle say how what had ended before that ended.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.core.tasks import Exit
from pycontainerd.linux import process
from pycontainerd.runtime import bundle as bundles
from pycontainerd.runtime.convert import exit_of, now
from pycontainerd.runtime.exits import INIT, KILLED, NO_PID, UNKNOWN, read_records
from pycontainerd.runtime.foreign import DELETE_LIMIT
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycontainerd.core.bundle import Bundle
    from pycontainerd.runtime.foreign import ForeignShims

_DEFAULT_ROOT = "/run/containerd/runc"
_log = structlog.get_logger("runtime")


@dataclass(frozen=True, slots=True)
class Remains:
    """How the processes of a dead shim's container ended; ``execs`` by exec id, only those with a record."""

    init: Exit
    execs: Mapping[str, Exit] = field(default_factory=dict)


def lay_out(foreign: ForeignShims, bundle: Bundle, binary: str, pid: int = 0) -> Remains:
    """Kill and clean what a shim left of one container, all but its bundle; never raises.

    ``pid`` is the init pid where the caller knows it. Status 137 is a container that had to be killed, 255 one of
    which nothing could be learned.
    """
    records = read_records(bundle)
    answered: Exit | None = None
    try:
        answered = exit_of(foreign.delete(bundle, binary), "")
    except (PycontainerdError, OSError) as error:
        _log.warning("shim cleanup failed", namespace=bundle.namespace, container=bundle.id, error=str(error))
        if _force_delete(bundle):
            answered = Exit(pid, KILLED, now())
    failpoint.hit("task.dead.cleaned")
    init = records.pop(INIT, None) or answered or Exit(pid, UNKNOWN, now())
    known = pid or (0 if init.pid == NO_PID else init.pid)
    init = Exit(init.pid if init.pid not in {0, NO_PID} else known, init.status, init.at or now())
    return Remains(init, {record.id: record for record in records.values()})


def _force_delete(bundle: Bundle) -> bool:
    """Have the OCI runtime itself kill and forget a container, by what its shim left in the bundle.

    For shims that cannot clean up any more, because they were uninstalled for instance.
    """
    binary = bundles.read_file(f"{bundle.path}/runtime").decode("utf-8", "replace").strip()
    if not binary:
        return False
    try:
        options = json.loads(bundles.read_file(f"{bundle.path}/options.json") or b"{}")
        root = f"{options.get('root') or _DEFAULT_ROOT}/{bundle.namespace}"
        result = process.run([binary, "--root", root, "delete", "--force", bundle.id], timeout=DELETE_LIMIT)
    except (ValueError, AttributeError, OSError) as error:
        _log.warning("runtime cleanup failed", namespace=bundle.namespace, container=bundle.id, error=str(error))
        return False
    return result.code == 0


def remove_bundle(bundle: Bundle, socket: str = "") -> None:
    """Remove a bundle and the dead shim's socket; what cannot be removed is logged and left to the next start."""
    if socket.startswith("/"):
        with contextlib.suppress(OSError):
            os.unlink(socket)
    try:
        bundles.remove(bundle)
    except OSError as error:
        _log.warning("bundle not removed", namespace=bundle.namespace, container=bundle.id, error=str(error))
