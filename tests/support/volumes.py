"""The volume stores without a daemon, on a real database, real directories and real workers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycontainerd.core.containers import Container
from pycontainerd.core.mountentries import EXTENSION, TYPE_URL
from pycontainerd.core.values import AnyValue, Mount
from pycontainerd.images.trees import Trees
from pycontainerd.images.workers import Workers
from pycontainerd.linux.mount import unmount_all
from pycontainerd.stores.containers import Containers
from pycontainerd.stores.database import Database
from pycontainerd.stores.schema import STEPS
from pycontainerd.stores.volumeclaims import ContainerVolumes
from pycontainerd.stores.volumedirs import VolumeDirectories
from pycontainerd.stores.volumemounts import VolumeMounts
from pycontainerd.stores.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Sequence

NS = "ns"


class Rootfs:
    """Stands in for a snapshotter: one directory is every container's root filesystem."""

    name = "dir"

    def __init__(self, path: Path) -> None:
        self.path = path

    def mounts(self, namespace: str, key: str) -> list[Mount]:
        return [Mount("bind", str(self.path), options=("rbind", "rw"))]


class VolumeWorld:
    """One root that can be closed and opened again; ``rootfs`` is what containers' images hold."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rootfs = root / "rootfs"
        self.rootfs.mkdir(exist_ok=True)
        self.open()

    def open(self) -> None:
        self.database = Database(str(self.root / "metadata.db"), STEPS)
        self.workers = Workers(str(self.root / "state/unpack"))
        self.trees = Trees(self.workers)
        snapshotters: Any = {"dir": Rootfs(self.rootfs)}
        self.directories = VolumeDirectories(str(self.root / "volumes"))
        self.mounts = VolumeMounts(self.directories, str(self.root / "state/volumes"), snapshotters)
        self.volumes = Volumes(self.database, self.directories, self.mounts, self.trees)
        self.plain = Containers(self.database)
        self.containers = ContainerVolumes(self.database, self.plain, self.volumes, self.trees, snapshotters)

    def close(self) -> None:
        self.workers.close()
        self.database.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def end(self) -> None:
        self.close()
        unmount_all(str(self.root))

    def data(self, name: str) -> Path:
        return Path(self.directories.data(NS, name))

    def names(self) -> list[str]:
        return [found.volume.name for found in self.volumes.list(NS)]

    def on_disk(self) -> list[str]:
        top = self.root / "volumes" / NS
        return sorted(os.listdir(top)) if top.exists() else []

    def container(self, id: str, *entries: dict[str, Any]) -> Container:
        """Create a container with these mount entries."""
        return self.containers.create(NS, record(id, entries))

    def entries(self, id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.plain.get(NS, id).extensions[EXTENSION].value)
        return found


def record(id: str, entries: Sequence[dict[str, Any]]) -> Container:
    extensions = {EXTENSION: AnyValue(TYPE_URL, json.dumps(list(entries)).encode())} if entries else {}
    return Container(
        id, runtime="io.containerd.runc.v2", spec=AnyValue("spec", b"{}"), snapshotter="dir", snapshot_key=id,
        extensions=extensions,
    )  # fmt: skip


def named(volume: str, target: str = "/data", **more: Any) -> dict[str, Any]:
    """A volume's entry."""
    return {"type": "volume", "volume": volume, "target": target, **more}


def anonymous(target: str = "/anon", **more: Any) -> dict[str, Any]:
    """An entry for a volume of the container's own."""
    return {"type": "volume", "volume": "", "anonymous": True, "target": target, **more}
