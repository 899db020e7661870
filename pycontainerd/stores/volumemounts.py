"""Volumes and images made ready on the host for containers about to start, and let go of afterwards.

A volume that is something mounted (a device, a tmpfs, NFS, a filesystem that bounds it) is mounted on its data
directory while somebody holds it. A subpath is looked up inside the volume once and pinned by a bind mount, so that a
container that shares the volume cannot swap it for a link; an image's view is mounted beside it.

What one container holds lies in ``<state>/<namespace>/<container>``: `held`, the names of its volumes, and a directory
or file for each pin. All of that is gone after a reboot, as the mounts are.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from pycontainerd.core.errors import DataLoss, FailedPrecondition, InvalidArgument
from pycontainerd.core.mountentries import BIND, IMAGE, TMPFS, options_of
from pycontainerd.core.volumes import Limit, address_of, is_mounted, mount_of
from pycontainerd.linux import diskimage, mountinfo
from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.linux.mountcall import MNT_DETACH, mount
from pycontainerd.linux.mountopts import MS_BIND, MS_REC
from pycontainerd.linux.openat2 import open_beneath
from pycontainerd.linux.tree import remove_tree
from pycontainerd.stores.disk import disk_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pycontainerd.core.snapshots import Snapshotter
    from pycontainerd.core.volumes import Volume
    from pycontainerd.stores.volumedirs import VolumeDirectories

    Json = dict[str, Any]

_HELD = "held"
_log = structlog.get_logger(__name__)


class VolumeMounts:
    """Keeps volumes mounted while they are held. ``state`` is a directory that does not survive a reboot."""

    def __init__(self, directories: VolumeDirectories, state: str, snapshotters: Mapping[str, Snapshotter]) -> None:
        self._directories, self._state, self._snapshotters = directories, state, snapshotters
        self._lock = threading.Lock()
        self._visits: dict[tuple[str, str], int] = {}

    # -- one volume -------------------------------------------------------------------------------------------------

    def is_managed(self, volume: Volume) -> bool:
        """Whether it has to be mounted before it is seen."""
        return volume.limit is Limit.IMAGE or is_mounted(volume.options)

    @contextmanager
    def visit(self, namespace: str, volume: Volume) -> Iterator[str]:
        """The data directory, mounted for the time of the block. Raises FailedPrecondition, DataLoss (lost)."""
        key = (namespace, volume.name)
        with self._lock:
            self._mount(namespace, volume)
            self._visits[key] = self._visits.get(key, 0) + 1
        try:
            yield self._directories.data(namespace, volume.name)
        finally:
            with self._lock:
                self._visits[key] -= 1
                if not self._visits[key]:
                    del self._visits[key]
                if self.is_managed(volume):
                    self._unmount_unused(namespace, volume.name)

    def _mount(self, namespace: str, volume: Volume) -> None:
        data = self._directories.data(namespace, volume.name)
        if not os.path.isdir(data):
            raise DataLoss("volume", volume.name, f"its directory {data} is gone: restore it, or remove the volume")
        if not self.is_managed(volume):
            return
        try:
            if volume.limit is Limit.IMAGE:
                diskimage.mount(self._directories.image(namespace, volume.name), data)
            elif not mountinfo.is_mount_point(data):
                mount_all([mount_of(volume.options, _looked_up(address_of(volume.options)))], data)
        except OSError as error:
            reason = f"{error.strerror or error}: check type, device and o of the volume's options"
            raise FailedPrecondition("failed to mount local volume", volume.name, reason) from error

    def _unmount_unused(self, namespace: str, name: str) -> None:
        """Take a managed volume off when nobody visits or holds it; under the lock."""
        if (namespace, name) in self._visits or name in self._held(namespace):
            return
        try:
            unmount_all(self._directories.data(namespace, name))
        except OSError as error:
            _log.warning("volume stays mounted", namespace=namespace, volume=name, error=str(error))

    def in_use(self, namespace: str, name: str) -> bool:
        """Whether a container that has a task, or a visit, keeps it mounted."""
        with self._lock:
            return (namespace, name) in self._visits or name in self._held(namespace)

    def renamed(self, namespace: str, name: str, new: str) -> None:
        """Holders of ``name`` hold ``new`` from here on; done right after the directory was renamed."""
        with self._lock:
            for directory in self._containers(namespace):
                names = _read(directory)
                if name in names:
                    _write(directory, [new if each == name else each for each in names])

    # -- one container ----------------------------------------------------------------------------------------------

    def attach(
        self, namespace: str, id: str, entries: Sequence[Json], volume: Callable[[str], Volume]
    ) -> list[dict[str, object]]:
        """The OCI mounts of a container's entries, everything ready; ``volume(name)`` finds a record.

        Raises FailedPrecondition, InvalidArgument, NotFound, DataLoss, and leaves nothing held then.
        """
        self.detach(namespace, id)
        try:
            return [self._one(namespace, id, number, entry, volume) for number, entry in enumerate(entries)]
        except BaseException as error:
            self.detach(namespace, id)
            if isinstance(error, OSError):
                raise disk_error(error, "mounts of container", id) from error
            raise

    def _one(
        self, namespace: str, id: str, number: int, entry: Json, volume: Callable[[str], Volume]
    ) -> dict[str, object]:
        kind, pin = entry["type"], f"{self._state}/{namespace}/{id}/{number}"
        if kind == TMPFS:
            return {"destination": entry["target"], "type": "tmpfs", "source": "tmpfs", "options": options_of(entry)}
        if kind == BIND:
            source = _bind_source(entry)
        elif kind == IMAGE:
            source = self._image(namespace, entry, pin)
        else:
            source = self._volume(namespace, id, entry, volume(entry["volume"]), pin)
        return {"destination": entry["target"], "type": "bind", "source": source, "options": options_of(entry)}

    def _volume(self, namespace: str, id: str, entry: Json, volume: Volume, pin: str) -> str:
        data = self._directories.data(namespace, volume.name)
        with self._lock:
            if self.is_managed(volume):
                directory = f"{self._state}/{namespace}/{id}"
                os.makedirs(directory, mode=0o711, exist_ok=True)
                _write(directory, [*_read(directory), volume.name])  # before the mount, or a crash would forget it
            self._mount(namespace, volume)
        if not entry.get("subpath"):
            return data
        _pin_beneath(data, entry["subpath"], pin, f"volume {volume.name}")
        return pin

    def _image(self, namespace: str, entry: Json, pin: str) -> str:
        snapshotter = self._snapshotters.get(entry.get("snapshotter", ""))
        if snapshotter is None or not entry.get("snapshot"):
            raise InvalidArgument("image mount", entry.get("source", ""), "its entry names no snapshot of it")
        mounts = snapshotter.mounts(namespace, entry["snapshot"])
        os.makedirs(pin, mode=0o711, exist_ok=True)
        mount_all(mounts, pin)
        if not entry.get("subpath"):
            return pin
        inner = f"{pin}.sub"
        _pin_beneath(pin, entry["subpath"], inner, f"image {entry.get('source', '')}")
        return inner

    def detach(self, namespace: str, id: str) -> None:
        """Let go of everything a container holds; idempotent, never raises."""
        directory = f"{self._state}/{namespace}/{id}"
        if not os.path.isdir(directory):
            return
        try:
            with self._lock:
                names = _read(directory)
                unmount_all(directory, MNT_DETACH)  # nothing is mounted on it: this takes off what is below
                remove_tree(directory)  # which refuses to go into a mount, should one have stayed
                for name in dict.fromkeys(names):
                    self._unmount_unused(namespace, name)
        except OSError as error:
            _log.warning("mounts of a container stay", namespace=namespace, container=id, error=str(error))

    def sweep(self, alive: Callable[[str, str], bool]) -> None:
        """Let go of what containers hold that have no task (any more); ``alive(namespace, id)`` tells."""
        for namespace in _listed(self._state):
            for id in _listed(f"{self._state}/{namespace}"):  # noqa: A001 — a container's id
                if not alive(namespace, id):
                    self.detach(namespace, id)

    def _held(self, namespace: str) -> set[str]:
        return {name for directory in self._containers(namespace) for name in _read(directory)}

    def _containers(self, namespace: str) -> list[str]:
        top = f"{self._state}/{namespace}"
        return [f"{top}/{name}" for name in _listed(top)]


def _looked_up(address: str) -> str:
    """The address of a server as the kernel takes it. Raises OSError when the name is not known."""
    return socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][4][0] if address else ""  # type: ignore[return-value]


def _bind_source(entry: Json) -> str:
    """The host path of a bind mount, made when that was wished. Raises InvalidArgument in Docker's words."""
    source = str(entry["source"])
    try:
        os.stat(source)
    except FileNotFoundError:
        if not entry.get("create"):
            raise missing_source(source) from None
        os.makedirs(source, mode=0o755, exist_ok=True)
    if entry.get("propagation", "").endswith(("shared", "slave")):
        _check_propagation(source, entry["propagation"])
    return source


def _check_propagation(path: str, wanted: str) -> None:
    """Raise FailedPrecondition, in Docker's words, when the path's own mount cannot pass anything on."""
    point = mountinfo.covering(path)
    words = {field.partition(":")[0] for field in point.propagation}
    needed = {"shared"} if wanted.endswith("shared") else {"shared", "master"}
    if not words & needed:
        kind = "shared" if wanted.endswith("shared") else "shared or slave"
        raise FailedPrecondition(
            f"path {path} is mounted on {point.mount_point} but it is not a {kind} mount",
            hint=f"make it one: mount --make-shared {point.mount_point}",
        )


def missing_source(path: str) -> InvalidArgument:
    """The answer for a bind mount of what is not there, in Docker's words."""
    return InvalidArgument(
        f'invalid mount config for type "bind": bind source path does not exist: {path}',
        hint="make it, or use -v, which makes a directory",
    )


def _pin_beneath(base: str, path: str, pin: str, owner: str) -> None:
    """Bind what is at ``path`` below ``base``, found without ever leaving it, to ``pin``."""
    top = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = open_beneath(top, os.fsencode(path), os.O_PATH)
    except OSError as error:
        reason = "it leads out of it" if error.errno == 18 else str(error.strerror)
        raise FailedPrecondition(f"subpath of {owner}", path, reason) from error
    finally:
        os.close(top)
    try:
        os.makedirs(os.path.dirname(pin), mode=0o711, exist_ok=True)
        if stat.S_ISDIR(os.fstat(found).st_mode):
            os.mkdir(pin, 0o700)
        else:
            os.close(os.open(pin, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        mount(f"/proc/self/fd/{found}", pin, "", MS_BIND | MS_REC)
    finally:
        os.close(found)


def _listed(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(directory: str) -> list[str]:
    try:
        with open(f"{directory}/{_HELD}", "rb") as file:
            return [str(name) for name in json.loads(file.read())]
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []


def _write(directory: str, names: Sequence[str]) -> None:
    partial = f"{directory}/.{_HELD}"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(list(names), file)
    os.rename(partial, f"{directory}/{_HELD}")
