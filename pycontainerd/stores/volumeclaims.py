"""What a container record means for volumes: those it names are made with it, those that are its own go with it.

Both happen in the transaction that writes or deletes the container's row, so that neither a container without its
volumes nor an anonymous volume without its container is ever seen. Directories follow the rules of ``stores.volumes``.
A volume that is empty gets, before its first container is acknowledged, what the image has at the place where it will
be mounted.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pycontainerd.core.errors import Conflict, PycontainerdError
from pycontainerd.core.mountentries import BIND, EXTENSION, VOLUME
from pycontainerd.core.volumes import LOCAL, State, Volume, alike, check_new, is_mounted
from pycontainerd.stores import volumerows
from pycontainerd.stores.columns import now
from pycontainerd.stores.disk import disk_error
from pycontainerd.stores.volumemounts import missing_source
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.containers import Container
    from pycontainerd.core.snapshots import Snapshotter
    from pycontainerd.core.values import Mount
    from pycontainerd.core.volumes import Trees
    from pycontainerd.stores.containers import Containers
    from pycontainerd.stores.database import Database
    from pycontainerd.stores.volumes import Volumes

    Json = dict[str, Any]


class ContainerVolumes:
    """``core.containers.ContainerStore`` for clients, over the plain one, and ``core.volumes.ContainerMounts``."""

    def __init__(
        self,
        database: Database,
        containers: Containers,
        volumes: Volumes,
        trees: Trees,
        snapshotters: Mapping[str, Snapshotter],
    ) -> None:
        self._database, self._containers, self._volumes = database, containers, volumes
        self._trees, self._snapshotters = trees, snapshotters

    # -- container records ------------------------------------------------------------------------------------------

    def get(self, namespace: str, id: str) -> Container:
        """Raises NotFound."""
        return self._containers.get(namespace, id)

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Container]:
        """The containers that pass the filters. Raises InvalidArgument."""
        return self._containers.list(namespace, filters)

    def create(self, namespace: str, container: Container, *, lease: str = "") -> Container:
        """As the plain store, with the volumes of its entries made and filled.

        Raises also Conflict (a volume that exists is different), FailedPrecondition, ResourceExhausted (volume full).
        """
        entries = volumerows.read_entries(container.extensions)
        if not entries:
            return self._containers.create(namespace, container, lease=lease)
        with self._claim(namespace, container, entries) as (claimed, made):
            return self._containers.create(
                namespace, claimed, lease=lease, also=lambda connection: self._insert(connection, namespace, made)
            )

    def update(self, namespace: str, container: Container, paths: Sequence[str] = ()) -> Container:
        """As the plain store; entries that changed are claimed as when a container is created."""
        before = self._entries_before(namespace, container, paths)
        if before is None:
            return self._containers.update(namespace, container, paths)
        entries = volumerows.read_entries(container.extensions)
        with self._claim(namespace, container, entries, before) as (claimed, made):
            return self._containers.update(
                namespace, claimed, paths, also=lambda connection: self._insert(connection, namespace, made)
            )

    def delete(self, namespace: str, id: str) -> None:
        """As the plain store; the anonymous volumes that are to go with the container go, unless others use them."""
        entries = volumerows.read_entries(self._containers.get(namespace, id).extensions)
        names = [entry["volume"] for entry in entries if entry.get("remove") and entry["type"] == VOLUME]
        if not names:
            self._containers.delete(namespace, id)
            return
        with self._volumes.hold(namespace, *names), self._volumes.removing(namespace, names) as gone:

            def drop(connection: Connection) -> None:
                gone.clear()  # a transaction may be run again
                gone.extend(self._dropped(connection, namespace, names))

            self._containers.delete(namespace, id, also=drop)

    # -- mounts of tasks --------------------------------------------------------------------------------------------

    def attach(self, namespace: str, container: Container) -> builtins.list[Json]:
        """The OCI mounts of the container's entries, ready. See ``VolumeMounts.attach`` for what it raises."""
        entries = volumerows.read_entries(container.extensions)
        if not entries:
            return []

        return self._volumes.mounts.attach(namespace, container.id, entries, lambda name: self._record(namespace, name))

    def detach(self, namespace: str, id: str) -> None:
        """Let go of what ``attach`` made ready; idempotent, never raises."""
        self._volumes.mounts.detach(namespace, id)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _record(self, namespace: str, name: str) -> Volume:
        return self._database.read(lambda connection: self._volumes.require(connection, namespace, name))

    def _entries_before(self, namespace: str, container: Container, paths: Sequence[str]) -> builtins.list[Json] | None:
        """The entries the container has, when an update is to change them."""
        touched = not paths or "extensions" in paths or f"extensions.{EXTENSION}" in paths
        if not touched or EXTENSION not in container.extensions:
            return None
        old = self._containers.get(namespace, container.id).extensions
        return None if old.get(EXTENSION) == container.extensions[EXTENSION] else volumerows.read_entries(old)

    @contextmanager
    def _claim(
        self, namespace: str, container: Container, entries: Sequence[Json], before: Sequence[Json] = ()
    ) -> Iterator[tuple[Container, Sequence[Volume]]]:
        """The container with every volume named, and the volumes whose rows the block has to insert.

        What stands among the entries it had ``before`` is neither checked nor filled again.
        """
        entries = [_named(entry) for entry in entries]
        had = {_identity(entry) for entry in before}
        new = [entry for entry in entries if _identity(entry) not in had]
        for entry in new:
            _check_bind(entry)
        wanted: dict[str, Json] = {}
        for entry in new:
            if entry["type"] == VOLUME:
                wanted.setdefault(entry["volume"], entry)
        claimed = replace(
            container, extensions={**container.extensions, EXTENSION: volumerows.extension(_kept(entries))}
        )
        with ExitStack() as stack:
            stack.enter_context(self._volumes.hold(namespace, *wanted))
            made: list[Volume] = []
            for entry in wanted.values():
                volume = self._obtain(namespace, entry, stack)
                if volume is not None:
                    made.append(volume)
            self._fill(namespace, container, new, {volume.name: volume for volume in made})
            hit("volumes.claim.filled")
            yield claimed, made

    def _obtain(self, namespace: str, entry: Json, stack: ExitStack) -> Volume | None:
        """Make the volume of an entry and return it, to be gone if the stack fails; None when it is there already."""
        volume = _volume(entry)
        check_new(volume)
        found = self._database.read(lambda connection: volumerows.find(connection, namespace, volume.name))
        if found is None:
            return stack.enter_context(self._volumes.making(namespace, volume))
        if not alike(found, volume):
            raise Conflict("volume", volume.name, "it exists with another driver or other options")
        return None

    def _insert(self, connection: Connection, namespace: str, made: Sequence[Volume]) -> None:
        for volume in made:
            self._volumes.insert(connection, namespace, volume)

    def _dropped(self, connection: Connection, namespace: str, names: Sequence[str]) -> Iterator[str]:
        """Delete the rows of those that are anonymous and that nobody else uses."""
        for name in dict.fromkeys(names):
            volume = volumerows.find(connection, namespace, name)
            if volume is not None and volume.anonymous and not volumerows.users(connection, namespace, name):
                self._volumes.drop(connection, namespace, volume)
                yield name

    def _fill(self, namespace: str, container: Container, entries: Sequence[Json], made: Mapping[str, Volume]) -> None:
        """Copy up what the image has into the volumes that are empty and want it."""
        volumes = [entry for entry in entries if entry["type"] == VOLUME]
        todo = [entry for entry in volumes if not entry.get("nocopy") and not entry.get("subpath")]
        rootfs = self._rootfs(namespace, container) if todo else []
        for entry in todo if rootfs else ():
            volume = made.get(entry["volume"]) or self._record(namespace, entry["volume"])
            try:
                self._copy_up(namespace, volume, rootfs, entry["target"], new=volume.name in made)
            except OSError as error:
                raise disk_error(error, "volume", volume.name) from error

    def _rootfs(self, namespace: str, container: Container) -> Sequence[Mount]:
        """How to mount the container's root filesystem; nothing when it is not one of our snapshots."""
        snapshotter = self._snapshotters.get(container.snapshotter)
        if snapshotter is None or not container.snapshot_key:
            return []
        try:
            return snapshotter.mounts(namespace, container.snapshot_key)
        except PycontainerdError:
            return []  # it may come later, and whoever needs it then will say what is wrong with it

    def _copy_up(self, namespace: str, volume: Volume, rootfs: Sequence[Mount], target: str, *, new: bool) -> None:
        directories = self._volumes.directories
        with self._volumes.mounts.visit(namespace, volume) as data:
            if not directories.is_empty(namespace, volume.name):
                return
            if not new:
                directories.mark(namespace, volume.name, State.FILLING)
            try:
                self._trees.copy_up(rootfs, target, data)
            except BaseException:
                if not is_mounted(volume.options):
                    self._volumes.refill(namespace, volume)
                raise
            finally:
                if not new:
                    directories.unmark(namespace, volume.name)


def _named(entry: Json) -> Json:
    """An entry whose volume has a name: 64 hex digits for a new anonymous one."""
    if entry["type"] != VOLUME or entry.get("volume"):
        return entry
    return {**entry, "volume": secrets.token_hex(32), "anonymous": True}


def _identity(entry: Json) -> tuple[str, str, str]:
    return entry["type"], entry["target"], entry.get("volume") or entry.get("source", "")


_OF_VOLUME = ("driver", "options", "labels")


def _volume(entry: Json) -> Volume:
    return Volume(
        name=entry["volume"],
        driver=entry.get("driver") or LOCAL,
        labels=entry.get("labels") or {},
        options=entry.get("options") or {},
        anonymous=bool(entry.get("anonymous")),
        created_at=now(),
    )


def _kept(entries: Sequence[Json]) -> Sequence[Json]:
    """Entries as the container keeps them: what a volume was made with is the volume's from then on."""
    return [
        {key: value for key, value in entry.items() if entry["type"] != VOLUME or key not in _OF_VOLUME}
        for entry in entries
    ]


def _check_bind(entry: Json) -> None:
    """Raise InvalidArgument, in Docker's words, for a path that has to be there and is not."""
    if entry["type"] == BIND and not entry.get("create") and not os.path.exists(entry["source"]):
        raise missing_source(entry["source"])
