"""The directories of volumes: ``<root>/<namespace>/<name>`` with

    _data        what containers see
    volume.json  the record once more, so that a directory without a row can be taken in again
    disk.img     the filesystem that bounds `_data` where no quota can
    .<state>     a marker: `new` until the row is there, `doomed` before it is deleted, `filling` while an existing
                 volume gets its first content

Nothing here decides to delete data: `destroy` and `clear` do as they are told.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from pycontainerd.core.mountentries import check_volume_name
from pycontainerd.core.volumes import Limit, State, Volume
from pycontainerd.linux import diskimage, quota
from pycontainerd.linux.mount import unmount_all
from pycontainerd.linux.tree import remove_tree
from pycontainerd.stores.columns import from_micros, now, to_micros
from pycontainerd.stores.database import sync_directory
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA, _RECORD, _IMAGE = "_data", "volume.json", "disk.img"
_STATES = (State.NEW, State.DOOMED, State.FILLING)
_IGNORED = {"lost+found"}
"""What a filesystem of its own has from the start."""


class VolumeDirectories:
    """Paths and acts on them below ``root``. All raise OSError."""

    def __init__(self, root: str) -> None:
        self.root = root
        os.makedirs(root, mode=0o711, exist_ok=True)

    def base(self, namespace: str, name: str) -> str:
        """The volume's own directory."""
        return f"{self.root}/{namespace}/{name}"

    def data(self, namespace: str, name: str) -> str:
        """What containers see."""
        return f"{self.base(namespace, name)}/{_DATA}"

    def image(self, namespace: str, name: str) -> str:
        """The filesystem in a file."""
        return f"{self.base(namespace, name)}/{_IMAGE}"

    def exists(self, namespace: str, name: str) -> bool:
        """Whether there is a directory of that name."""
        return os.path.lexists(self.base(namespace, name))

    def is_empty(self, namespace: str, name: str) -> bool:
        """Whether the data directory holds nothing."""
        with os.scandir(self.data(namespace, name)) as entries:
            return all(entry.name in _IGNORED for entry in entries)

    def make(self, namespace: str, volume: Volume) -> Volume:
        """Make a NEW directory, bounded if the volume is; return the volume with how.

        Raises FailedPrecondition when something is in the way, or when its size cannot be enforced.
        """
        base = self.base(namespace, volume.name)
        os.makedirs(os.path.dirname(base), mode=0o711, exist_ok=True)
        try:
            os.mkdir(base, 0o711)
        except FileExistsError:
            raise FailedPrecondition(
                "volume", volume.name, f"{base} is there but is no volume: move it away or remove it"
            ) from None
        try:
            self._touch(base, State.NEW)
            os.mkdir(f"{base}/{_DATA}", 0o755)
            os.chmod(f"{base}/{_DATA}", 0o755)
            volume = replace(volume, limit=self._bound(base, volume), created_at=volume.created_at or now())
            _write(f"{base}/{_RECORD}", _encode(volume))
            hit("volumes.make.record")
            sync_directory(base)
            sync_directory(os.path.dirname(base))
            sync_directory(self.root)
        except BaseException:
            unmount_all(f"{base}/{_DATA}")
            remove_tree(base)
            raise
        return volume

    def record(self, namespace: str, volume: Volume) -> None:
        """Write the copy of the record anew."""
        _write(f"{self.base(namespace, volume.name)}/{_RECORD}", _encode(volume))

    def _bound(self, base: str, volume: Volume) -> Limit:
        """Bound the empty data directory to the volume's size, if it has one."""
        if not volume.size:
            return Limit.NONE
        if quota.enforced(base):
            quota.limit(f"{base}/{_DATA}", volume.size)
            return Limit.QUOTA
        if volume.size < diskimage.SMALLEST:
            raise InvalidArgument("size of volume", volume.name, "give at least 1m")
        try:
            diskimage.make(f"{base}/{_IMAGE}", volume.size)
            diskimage.mount(f"{base}/{_IMAGE}", f"{base}/{_DATA}")  # that it can be mounted is known now, not later
            os.chmod(f"{base}/{_DATA}", 0o755)
            diskimage.unmount(f"{base}/{_DATA}")
        except OSError as error:
            raise FailedPrecondition(
                "size of volume",
                volume.name,
                f"it cannot be enforced: {self.root} is on a filesystem without project quota, and a filesystem of its"
                f" own failed ({error.strerror}); mount it with prjquota, or make mkfs.ext4 and loop devices available",
            ) from error
        return Limit.IMAGE

    def mark(self, namespace: str, name: str, state: State) -> None:
        """Leave a marker that survives a crash."""
        base = self.base(namespace, name)
        self._touch(base, state)
        sync_directory(base)

    def unmark(self, namespace: str, name: str) -> None:
        """Take all markers away."""
        base = self.base(namespace, name)
        for state in _STATES:
            try:
                os.unlink(f"{base}/.{state.value}")
            except FileNotFoundError:
                pass
        sync_directory(base)

    @staticmethod
    def _touch(base: str, state: State) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        os.close(os.open(f"{base}/.{state.value}", flags, 0o600))

    def state(self, namespace: str, name: str) -> State:
        """The marker that is there."""
        base = self.base(namespace, name)
        return next((state for state in reversed(_STATES) if os.path.lexists(f"{base}/.{state.value}")), State.PLAIN)

    def move(self, namespace: str, name: str, new: str) -> None:
        """Rename the directory; containers that have it mounted do not notice."""
        os.rename(self.base(namespace, name), self.base(namespace, new))
        sync_directory(f"{self.root}/{namespace}")

    def clear(self, namespace: str, name: str) -> None:
        """Delete everything in the data directory, not the directory."""
        data = self.data(namespace, name)
        for entry in os.listdir(data):
            if entry not in _IGNORED:
                remove_tree(f"{data}/{entry}")

    def destroy(self, namespace: str, name: str) -> None:
        """Delete a volume's directory; what is mounted on it is taken off before and never touched. Idempotent."""
        base, data = self.base(namespace, name), self.data(namespace, name)
        if not os.path.isdir(base):
            return
        self._touch(base, State.DOOMED)
        unmount_all(data)
        project = self._project(data)
        remove_tree(data)
        hit("volumes.destroy.data")
        remove_tree(base)
        if project:
            try:
                quota.release(os.path.dirname(base), project)
            except OSError:
                pass  # a limit on an id that nothing carries bounds nothing
        try:
            os.rmdir(os.path.dirname(base))
        except OSError:
            pass  # others are in it

    @staticmethod
    def _project(data: str) -> int:
        try:
            return quota.project(data) if quota.enforced(data) else 0
        except OSError:
            return 0

    def scan(self) -> Iterator[tuple[str, str]]:
        """Namespace and name of every directory whose name can be a volume's."""
        for namespace in sorted(os.listdir(self.root)):
            top = f"{self.root}/{namespace}"
            for name in sorted(os.listdir(top)) if os.path.isdir(top) and not os.path.islink(top) else ():
                if _is_name(name) and os.path.isdir(f"{top}/{name}") and not os.path.islink(f"{top}/{name}"):
                    yield namespace, name

    def adopt(self, namespace: str, name: str) -> Volume:
        """The volume that a directory without a row is. Raises ValueError when it cannot be told, OSError."""
        if not os.path.isdir(self.data(namespace, name)):
            raise ValueError(f"it has no {_DATA}")
        with open(f"{self.base(namespace, name)}/{_RECORD}", "rb") as file:
            value = json.loads(file.read())
        if not isinstance(value, dict):
            raise ValueError(f"{_RECORD} holds no object")
        return Volume(
            name,
            str(value["driver"]),
            {str(key): str(text) for key, text in value["labels"].items()},
            {str(key): str(text) for key, text in value["options"].items()},
            bool(value["anonymous"]),
            from_micros(int(value["created_at"])),
            Limit(value["limit"]),
        )


def full(error: OSError, name: str) -> ResourceExhausted:
    """The answer for a volume that holds no more."""
    return ResourceExhausted("volume", name, f"{error.strerror}: free some space, or give it a larger size")


def _is_name(name: str) -> bool:
    try:
        check_volume_name(name)
    except InvalidArgument:
        return False
    return True


def _encode(volume: Volume) -> bytes:
    value = {
        "driver": volume.driver,
        "labels": dict(volume.labels),
        "options": dict(volume.options),
        "anonymous": volume.anonymous,
        "created_at": to_micros(volume.created_at or now()),
        "limit": volume.limit.value,
    }
    return json.dumps(value).encode()


def _write(path: str, data: bytes) -> None:
    """Replace a file in one step, durably but for its directory."""
    partial = f"{path}.partial"
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(partial, path)
