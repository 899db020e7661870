"""Namespaces of other containers (``--network container:web`` and the like): their paths hold a pid, which changes.

A spec that was written for one run has to be given the other container's present pid before the next.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODES = (("PidMode", "pid"), ("IpcMode", "ipc"), ("NetworkMode", "network"), ("UTSMode", "uts"))
_FILES = {"network": "net"}
_PREFIX = "container:"


def joined(host_config: Mapping[str, Any]) -> dict[str, str]:
    """The containers whose namespaces are joined, as the user named them, by the namespace's OCI type."""
    modes = {kind: host_config.get(key) or "" for key, kind in _MODES}
    return {kind: mode.removeprefix(_PREFIX) for kind, mode in modes.items() if mode.startswith(_PREFIX)}


def rejoined(spec: Mapping[str, Any], pids: Mapping[str, int]) -> dict[str, Any]:
    """The OCI spec with the namespaces of these processes, by type."""
    result: dict[str, Any] = deepcopy(dict(spec))
    for namespace in (result.get("linux") or {}).get("namespaces") or ():
        kind = namespace.get("type")
        if kind in pids:
            namespace["path"] = f"/proc/{pids[kind]}/ns/{_FILES.get(kind, kind)}"
    if "ipc" in pids:
        for mount in result.get("mounts") or ():
            if mount.get("destination") == "/dev/shm":
                mount["source"] = f"/proc/{pids['ipc']}/root/dev/shm"
    return result
