"""Forgetting a container without the runtime: what `delete` of crun and runc does once nothing of it runs.

That is to remove its groups and the directory of its state, which is less work than executing a program. It is done
only where nothing else could have to be done: no hook, no other way of keeping groups, nothing in an unexpected place.
Whatever is not as expected is left to the runtime's own `delete`, which takes what is gone already for removed.
"""

from __future__ import annotations

import os

from pycontainerd.wire.failpoint import hit
from shim.startfifo import understood

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.container import Container


def forget(container: Container) -> bool:
    """Remove what the runtime keeps of a container that has ended; False when that is left to the runtime."""
    spec, runtime = container.spec, container.runtime
    if spec is None or not spec.own_pids or spec.poststop or spec.intel_rdt or runtime.systemd_cgroup:
        return False
    if container.checkpoint or not understood(runtime.binary):
        return False
    groups = _groups(container, spec.cgroups_path)
    if not groups:
        return False
    hit("shim.runtime.delete")
    try:
        state = runtime.state(container.id)
        with os.scandir(state) as entries:
            files = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        if any(folder for _, folder in files):
            return False
        for group in groups:
            _remove(group)
        for path, _ in files:
            os.unlink(path)
        os.rmdir(state)
    except OSError:
        return False
    return True


def _groups(container: Container, path: str) -> set[str]:
    """The directories of the groups that were made at the spec's `path`; empty when any is elsewhere."""
    cgroup = container.cgroup
    if cgroup is None or not cgroup.whole or not path.strip("/") or not path.startswith("/"):
        return set()
    folders = {folder for folder in (*cgroup.dirs.values(), cgroup.unified) if folder}
    return folders if all(folder.endswith(path) for folder in folders) else set()


def _remove(group: str) -> None:
    try:
        os.rmdir(group)
    except FileNotFoundError:
        pass
