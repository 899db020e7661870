"""A container's life as Docker's users know it, made of tasks, snapshots and records.

A task that has ended stays until somebody looks after it (``settle``): its exit is written into the container's
settings and the task deleted. Everything here can be repeated after it was cut off.
"""

from __future__ import annotations

import os
import time

from pycontainerd.client import containers, files, leases, snapshots, tasks, volumes
from pycontainerd.client.times import ns, rfc3339
from pycontainerd.core import settings
from pycontainerd.core.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.types import Mount
    from pycontainerd.wire.messages.types_task import Process

    Json = dict[str, Any]

KILL, TERM = 9, 15
PATIENCE = 10
"""Seconds that ``stop`` waits before it kills, unless the container says otherwise."""
LIVE = (tasks.RUNNING, tasks.PAUSED, tasks.PAUSING)


def stdio(container: Container) -> tasks.Stdio:
    """Where the streams of its first process go: to the log driver, and to whoever attaches."""
    stdin, stdout, stderr, terminal = settings.stdio(container.settings)
    return tasks.Stdio(stdin, stdout, stderr, terminal=terminal)


def create_task(daemon: Daemon, container: Container, mounts: Sequence[Mount] | None = None) -> int:
    """The task of a container that has none, not yet started; return its pid."""
    if mounts is None:
        record = container.record
        mounts = snapshots.mounts(daemon, record.snapshotter, record.snapshot_key)
    runtime = container.record.runtime
    return tasks.create(daemon, container.id, mounts, stdio(container), options=runtime.options if runtime else None)


def settle(daemon: Daemon, container: Container, process: Process | None = None) -> Process | None:
    """Look after a task that has ended: keep its exit in the settings, delete it. Return the task if it lives."""
    process = process or tasks.get(daemon, container.id)
    if process is None or process.status in LIVE:
        return process
    if process.status == tasks.CREATED:  # made by a client that was killed before it could start it
        tasks.delete(daemon, container.id)
        return None
    ended = tasks.delete(daemon, container.id)
    if ended is not None:
        note_exit(container, ended.exit_status, ns(ended.exited_at))
        if container.ours:
            containers.save(daemon, container)
    return None


def note_exit(container: Container, status: int, at: int) -> None:
    """Write an exit into the settings; ``at`` in nanoseconds since 1970."""
    container.state["ExitCode"] = status
    container.state["FinishedAt"] = rfc3339(at or time.time_ns())
    container.state.setdefault("StartedAt", rfc3339(container.created))


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


def started(container: Container) -> None:
    """Note a start in the settings; the caller saves them."""
    container.state.clear()
    container.state["StartedAt"] = rfc3339(time.time_ns())


def stop(daemon: Daemon, container: Container, *, signal: int, patience: float) -> None:
    """Ask it to end, and kill it when it has not after ``patience`` seconds (-1: never). Not running is fine."""
    process = tasks.get(daemon, container.id)
    if process is None or process.status not in LIVE:
        return
    if container.ours:
        container.state["Stopped"] = True
        containers.save(daemon, container)
    try:
        if patience == 0:
            tasks.kill(daemon, container.id, KILL)
        else:
            tasks.kill(daemon, container.id, signal)
            if process.status == tasks.PAUSED:
                tasks.resume(daemon, container.id)
    except NotFound:
        return
    with daemon.another() as waiting:
        try:
            tasks.wait(waiting, container.id, timeout=None if patience < 0 else max(patience, 0.001))
        except DeadlineExceeded:
            kill_and_wait(daemon, container.id)
        except NotFound:
            pass


def kill_and_wait(daemon: Daemon, id: str) -> None:
    """SIGKILL and the end."""
    try:
        tasks.kill(daemon, id, KILL)
        process = tasks.get(daemon, id)
        if process is not None and process.status == tasks.PAUSED:
            tasks.resume(daemon, id)
        with daemon.another() as waiting:
            tasks.wait(waiting, id)
    except NotFound:
        pass


def remove(daemon: Daemon, container: Container, *, force: bool = False, with_volumes: bool = False) -> None:
    """Remove it with all that is its own, anonymous volumes only if ``with_volumes``.

    Raises FailedPrecondition when it runs and ``force`` is off.
    """
    process = tasks.get(daemon, container.id)
    if process is not None and process.status in LIVE:
        if not force:
            state = "paused" if process.status != tasks.RUNNING else "running"
            raise FailedPrecondition(
                f"You cannot remove a {state} container {container.id}", hint="stop the container first, or use -f"
            )
        kill_and_wait(daemon, container.id)
    if process is not None:
        tasks.delete(daemon, container.id)
    if with_volumes and container.ours and volumes.marked_for_removal(container):
        containers.save(daemon, container)
    discard(daemon, container)


def discard(daemon: Daemon, container: Container) -> None:
    """Remove what a container without a task has: record (volumes that are its own go with it), snapshots, files,
    name.
    """
    record = container.record
    containers.delete(daemon, container.id)
    if record.snapshot_key and container.ours:
        snapshots.remove(daemon, record.snapshotter, record.snapshot_key)
        for entry in volumes.entries(container):
            if entry.get("snapshot"):
                snapshots.remove(daemon, entry["snapshotter"], entry["snapshot"])
    path = container.settings.get("LogPath")
    if container.ours:
        directory = (
            os.path.dirname(path) if path else files.directory(files.root_of(daemon), daemon.namespace, container.id)
        )
        files.remove(directory)
        leases.release(daemon, container.name)


def rename(daemon: Daemon, container: Container, name: str) -> None:
    """Give it another name. Raises Conflict when that is taken."""
    from pycontainerd.client import create

    old = container.name
    if name == old or not name:
        raise InvalidArgument("Renaming a container with the same name as its current name")
    name = create.reserve(daemon, name, container.id)
    try:
        containers.rename(daemon, container, name)
    except BaseException:
        leases.release(daemon, name)
        raise
    leases.release(daemon, old)


def start_time(pid: int) -> int:
    """When a process of this host was started, in nanoseconds since 1970; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/stat", "rb") as file:
            booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
    return booted * 10**9 + ticks * 10**9 // os.sysconf("SC_CLK_TCK")
