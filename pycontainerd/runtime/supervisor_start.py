"""How the supervisor makes a container's task, and how it removes a container with all that is its own.

A task is made from what is kept: mounts from the snapshotter, streams and options from the record. Removing goes from
the task to the record, which goes last: what is cut off in between is taken up again as long as the record is there.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pycontainerd.core.containers import Container
from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, NotFound, PycontainerdError, Unknown
from pycontainerd.core.joins import joined, rejoined
from pycontainerd.core.mountentries import EXTENSION as MOUNTS
from pycontainerd.core.restart import COUNT_LABEL, LOG_URI_LABEL
from pycontainerd.core.settings import stdio
from pycontainerd.core.supervision import settings_of, taking_volumes
from pycontainerd.core.tasks import CreateTask, Status, Stdio
from pycontainerd.core.values import AnyValue
from pycontainerd.linux.tree import remove_tree
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.snapshots import Snapshotter
    from pycontainerd.core.tasks import TaskManager
    from pycontainerd.core.values import Mount
    from pycontainerd.runtime.shims import Offload

LIVE = (Status.RUNNING, Status.PAUSED, Status.PAUSING)


class Starter:
    """Makes and removes. ``files`` is where containers have their files, ``resolve`` finds an id by a reference."""

    def __init__(
        self,
        tasks: TaskManager,
        containers: ContainerStore,
        snapshotters: Mapping[str, Snapshotter],
        offload: Offload,
        *,
        files: str,
        resolve: Callable[[str, str], tuple[str, str]],
    ) -> None:
        self.tasks, self._containers, self._snapshotters, self._offload = tasks, containers, snapshotters, offload
        self._files, self._resolve = files, resolve

    async def start(self, namespace: str, id: str) -> int:
        """Make the task, in place of one that has ended, and start it; return the pid.

        Raises what the stores, the shim and the runtime raise; AlreadyExists when somebody else has made it.
        """
        await self.clear(namespace, id)
        failpoint.hit("supervisor.start.cleared")
        container = await self._offload(self._containers.get, namespace, id)
        container = await self._rejoin(namespace, container)
        mounts = await self._offload(self._mounts, namespace, container)
        await self.tasks.create(namespace, CreateTask(id, mounts, streams(container)))
        failpoint.hit("supervisor.start.created")
        try:
            return await self.tasks.start(namespace, id)
        except PycontainerdError:
            await self.clear(namespace, id)
            raise

    async def clear(self, namespace: str, id: str) -> None:
        """Delete a task that has ended or was never started; none is fine."""
        try:
            await self.tasks.delete(namespace, id)
        except NotFound:
            pass

    def _mounts(self, namespace: str, container: Container) -> Sequence[Mount]:
        if not container.snapshotter:
            return ()
        snapshotter = self._snapshotters.get(container.snapshotter)
        if snapshotter is None:
            raise FailedPrecondition("snapshotter", container.snapshotter, "it does not work on this host")
        return snapshotter.mounts(namespace, container.snapshot_key)

    async def _rejoin(self, namespace: str, container: Container) -> Container:
        """The record with the present pids of the containers whose namespaces it joins. Raises FailedPrecondition."""
        settings = settings_of(container)
        others = joined(settings.get("HostConfig") or {}) if settings is not None else {}
        if not others or container.spec is None:
            return container
        pids: dict[str, int] = {}
        for kind, reference in others.items():
            name = reference
            try:
                other, name = await self._offload(self._resolve, namespace, reference)
                process = await self.tasks.get(namespace, other)
            except NotFound:
                process = None
            if process is None or process.status not in LIVE:
                raise FailedPrecondition(f"the container whose {kind} namespace is to be joined", name, "start it")
            pids[kind] = process.pid
        spec = AnyValue(container.spec.type_url, json.dumps(rejoined(json.loads(container.spec.value), pids)).encode())
        changed = replace(container, spec=spec)
        if spec != container.spec:
            await self._offload(self._containers.update, namespace, changed, ("spec",))
        return changed

    async def count(self, namespace: str, id: str, restarts: int) -> None:
        """Write the number of restarts where containerd's clients look for it."""
        given = Container(id, {COUNT_LABEL: str(restarts)})
        await self._offload(self._containers.update, namespace, given, (f"labels.{COUNT_LABEL}",))

    # -- removing --

    async def remove(self, namespace: str, id: str, *, volumes: bool) -> None:
        """Remove a container that does not run. Each step can be repeated. Raises what a step raises."""
        await self.clear(namespace, id)
        failpoint.hit("supervisor.remove.task")
        try:
            container = await self._offload(self._containers.get, namespace, id)
        except NotFound:
            return
        await self._offload(self._remove, namespace, container, volumes)

    def _remove(self, namespace: str, container: Container, volumes: bool) -> None:
        if settings_of(container) is not None:
            self._remove_files(namespace, container.id)
            failpoint.hit("supervisor.remove.files")
            snapshotter = self._snapshotters.get(container.snapshotter)
            if snapshotter is not None and container.snapshot_key:
                try:
                    snapshotter.remove(namespace, container.snapshot_key)
                except NotFound:
                    pass
            failpoint.hit("supervisor.remove.snapshot")
            marked = taking_volumes(container) if volumes else None
            if marked is not None:
                path = f"extensions.{MOUNTS}"
                self._containers.update(namespace, marked, (path,))
        try:
            self._containers.delete(namespace, container.id)
        except NotFound:
            pass

    def _remove_files(self, namespace: str, id: str) -> None:
        path = f"{self._files}/{namespace}/{id}"
        try:
            remove_tree(path)
        except OSError as error:
            raise Unknown("files of container", id, f"{path}: {error.strerror}") from error


def streams(container: Container) -> Stdio:
    """Where the streams go: by our settings, or to the log URI of containerd's label."""
    settings = settings_of(container)
    if settings is not None:
        try:
            stdin, stdout, stderr, terminal = stdio(settings, container.id)
        except (KeyError, AttributeError) as error:
            raise InvalidArgument("settings of container", container.id, "they lack Config or HostConfig") from error
        return Stdio(stdin, stdout, stderr, terminal)
    log = container.labels.get(LOG_URI_LABEL, "")
    terminal = wants_terminal(container)
    return Stdio("", log, "" if terminal else log, terminal)


def wants_terminal(container: Container) -> bool:
    """Whether the container's spec asks for one."""
    return bool(process_of(container).get("terminal"))


def process_of(container: Container) -> dict[str, Any]:
    """The process of the container's spec; empty where there is none that can be read."""
    try:
        process = json.loads(container.spec.value).get("process") if container.spec is not None else None
    except (ValueError, AttributeError):
        return {}
    return process if isinstance(process, dict) else {}
