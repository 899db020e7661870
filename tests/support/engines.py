"""The daemon's synchronous engines without a daemon: stores, snapshotters, differ and transfers in one directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pycontainerd.core.platforms import from_machine
from pycontainerd.core.snapshots import SnapshotDriver
from pycontainerd.images.differ import WalkingDiffer
from pycontainerd.images.pull import Defaults
from pycontainerd.images.pull import Stores as TransferStores
from pycontainerd.images.transfers import LocalTransfers
from pycontainerd.images.unpack import Unpacker
from pycontainerd.images.workers import Workers
from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.stores.content import Content
from pycontainerd.stores.database import Database
from pycontainerd.stores.images import Images
from pycontainerd.stores.leases import Leases
from pycontainerd.stores.schema import STEPS
from pycontainerd.stores.snapshots import Snapshots
from snapshotter.native import NativeDriver
from snapshotter.overlay import OverlayDriver

NAMESPACE = "tests"


@dataclass
class Engines:
    """What a test needs; ``events`` are (namespace, topic) as they were published."""

    root: Path
    database: Database
    content: Content
    images: Images
    leases: Leases
    snapshotters: dict[str, Snapshots]
    workers: Workers
    differ: WalkingDiffer
    unpacker: Unpacker
    transfers: LocalTransfers
    events: list[tuple[str, str]] = field(default_factory=list)

    def add(self, data: bytes, ref: str = "test") -> str:
        """Store a blob; return its digest."""
        from pycontainerd.core.digest import of_bytes
        from pycontainerd.core.errors import AlreadyExists

        digest = of_bytes(data)
        with contextlib.suppress(AlreadyExists), self.content.writer(NAMESPACE, ref, expected=digest) as writer:
            writer.truncate(0)
            writer.write(data)
            writer.commit(expected=digest)
        return digest

    @contextlib.contextmanager
    def mounted(self, snapshotter: str, name: str) -> Iterator[Path]:
        """A committed snapshot as a directory."""
        store = self.snapshotters[snapshotter]
        key = f"view-of-{name}"
        target = self.root / "mounted"
        target.mkdir(exist_ok=True)
        mounts = store.view(NAMESPACE, key, name)
        try:
            mount_all(mounts, str(target))
            try:
                yield target
            finally:
                unmount_all(str(target))
        finally:
            store.remove(NAMESPACE, key)


@contextlib.contextmanager
def engines(root: Path) -> Iterator[Engines]:
    """Everything below ``root``; closed on the way out."""
    events: list[tuple[str, str]] = []

    def publish(namespace: str, topic: str, message: object) -> None:
        events.append((namespace, topic))

    database = Database(f"{root}/metadata.db", STEPS)
    workers = Workers(f"{root}/scratch")
    try:
        content, images, leases = (
            Content(database, f"{root}/content", publish),
            Images(database, publish),
            Leases(database),
        )
        drivers: list[SnapshotDriver] = [OverlayDriver(f"{root}/overlayfs"), NativeDriver(f"{root}/native")]
        snapshotters = {driver.name: Snapshots(database, driver, publish) for driver in drivers}
        rebasing = [driver.name for driver in drivers if "rebase" in driver.capabilities]
        differ = WalkingDiffer(content, workers)
        unpacker = Unpacker(content, snapshotters, leases, differ, rebasing=rebasing)
        defaults = Defaults(from_machine(os.uname().machine))
        transfers = LocalTransfers(TransferStores(content, images, leases), unpacker, defaults)
        yield Engines(
            root, database, content, images, leases, snapshotters, workers, differ, unpacker, transfers, events
        )  # fmt: skip
        for store in snapshotters.values():
            store.close()
    finally:
        workers.close()
        database.close()
