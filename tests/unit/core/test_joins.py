"""Joined namespaces: which containers are meant, and their pids in a spec."""

from __future__ import annotations

import copy
from typing import Any

from pycontainerd.core.joins import joined, rejoined


def test_only_container_modes_join() -> None:
    host = {"NetworkMode": "container:web", "IpcMode": "host", "PidMode": "", "UTSMode": "container:ab12"}
    assert joined(host) == {"network": "web", "uts": "ab12"}
    assert joined({}) == {}


def test_paths_get_the_present_pid_and_nothing_else_changes() -> None:
    namespaces = [
        {"type": "network", "path": "/proc/1/ns/net"},
        {"type": "mount"},
        {"type": "ipc", "path": "/proc/1/ns/ipc"},
    ]
    mounts = [
        {"destination": "/dev/shm", "source": "/proc/1/root/dev/shm"},
        {"destination": "/proc", "source": "proc"},
    ]
    spec: dict[str, Any] = {"linux": {"namespaces": namespaces}, "mounts": mounts}
    before = copy.deepcopy(spec)
    changed = rejoined(spec, {"network": 42, "ipc": 42})
    assert [each.get("path") for each in changed["linux"]["namespaces"]] == ["/proc/42/ns/net", None, "/proc/42/ns/ipc"]
    assert [each["source"] for each in changed["mounts"]] == ["/proc/42/root/dev/shm", "proc"]
    assert spec == before
    assert rejoined({}, {"pid": 3}) == {}
