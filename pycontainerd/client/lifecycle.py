"""A container's life as Docker's users know it: what the supervisor does for them, and what is done here before it.

A client that stays with a container makes the task itself, so that it is attached before anything is written; all else
is the daemon's, which goes on when the client is killed.
"""

from __future__ import annotations

from pycontainerd.client import containers, files, snapshots, state, supervisor, tasks
from pycontainerd.core import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.types import Mount

KILL, TERM = 9, 15
LIVE = state.LIVE


def stdio(container: Container) -> tasks.Stdio:
    """Where the streams of its first process go: to the log driver, and to whoever attaches."""
    stdin, stdout, stderr, terminal = settings.stdio(container.settings, container.id)
    return tasks.Stdio(stdin, stdout, stderr, terminal=terminal)


def create_task(daemon: Daemon, container: Container, mounts: Sequence[Mount] | None = None) -> int:
    """The task of a container that does not run, not yet started; return its pid."""
    if mounts is None:
        record = container.record
        mounts = snapshots.mounts(daemon, record.snapshotter, record.snapshot_key)
        tasks.delete(daemon, container.id)  # the last one, which has ended
    runtime = container.record.runtime
    return tasks.create(daemon, container.id, mounts, stdio(container), options=runtime.options if runtime else None)


def alive(daemon: Daemon, container: Container) -> bool:
    """Whether its first process lives, paused included."""
    process = tasks.get(daemon, container.id)
    return process is not None and process.status in LIVE


def refresh(daemon: Daemon, container: Container) -> None:
    """Before another start: write the managed files anew, and look up again what changes between runs."""
    if not container.ours:
        return
    from pycontainerd.client import create

    path = files.directory(files.root_of(daemon), daemon.namespace, container.id)
    host_config = container.host_config
    modes = (host_config.get(key) or "" for key in ("PidMode", "IpcMode", "NetworkMode", "UTSMode"))
    if any(mode.startswith("container:") for mode in modes):
        document = create.build_spec(daemon, container.id, container.config, host_config, path)
        container.record.spec = create.packed_spec(document)
        containers.save(daemon, container, "spec")
    else:
        files.write(path, container.config, host_config, container.id)


def ended(daemon: Daemon, container: Container) -> None:
    """After its end: let go of the task, unless it will run again; with ``--rm``, wait until it is gone."""
    if container.host_config.get("AutoRemove"):
        with daemon.another() as waiting:
            supervisor.wait_removed(waiting, container.id)
    elif (container.host_config.get("RestartPolicy") or {}).get("Name", "no") in ("", "no"):
        tasks.delete(daemon, container.id)
