"""A real store over a real driver on a real filesystem, and trees to work on."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pycontainerd.linux.mount import mount_all, unmount_all
from pycontainerd.stores.database import Database
from pycontainerd.stores.leases import Leases
from pycontainerd.stores.schema import STEPS
from pycontainerd.stores.snapshots import Snapshots
from snapshotter.native import NativeDriver
from snapshotter.overlay import OverlayDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycontainerd.core.events import EventMessage
    from pycontainerd.core.snapshots import SnapshotDriver
    from pycontainerd.core.values import Mount

DRIVERS: dict[str, Callable[[str], SnapshotDriver]] = {"overlayfs": OverlayDriver, "native": NativeDriver}


class World:
    """One root directory with a store on it that can be closed and opened again."""

    def __init__(self, root: Path, driver: str) -> None:
        self.root, self._kind = root, driver
        self.events: list[tuple[str, str, Any]] = []
        self._mounts = 0
        self.boot = "this boot"
        self.open()

    def open(self) -> None:
        self.driver = DRIVERS[self._kind](str(self.root / self._kind))
        self.database = Database(str(self.root / "metadata.db"), STEPS)
        self.snapshots = Snapshots(self.database, self.driver, self._publish, boot=self.boot)
        self.leases = Leases(self.database)

    def close(self) -> None:
        self.snapshots.close()
        self.database.close()

    def restart(self, boot: str = "") -> None:
        self.close()
        self.boot = boot or self.boot
        self.open()

    def _publish(self, namespace: str, topic: str, message: EventMessage) -> None:
        self.events.append((namespace, topic, message))

    @contextmanager
    def mounted(self, mounts: list[Mount]) -> Iterator[Path]:
        self._mounts += 1
        target = self.root / f"mnt{self._mounts}"
        target.mkdir()
        try:
            mount_all(mounts, str(target))
            yield target
        finally:
            unmount_all(str(target))
            target.rmdir()

    def layer(self, name: str, parent: str, change: Callable[[Path], object], namespace: str = "ns") -> None:
        """Prepare on ``parent``, change the mounted tree, commit as ``name``."""
        with self.mounted(self.snapshots.prepare(namespace, f"making {name}", parent)) as tree:
            change(tree)
        self.snapshots.commit(namespace, name, f"making {name}")

    @contextmanager
    def viewed(self, parent: str, namespace: str = "ns") -> Iterator[Path]:
        """The committed snapshot ``parent``, mounted read-only."""
        with self.mounted(self.snapshots.view(namespace, "looking", parent)) as tree:
            yield tree
        self.snapshots.remove(namespace, "looking")

    def directories(self) -> set[str]:
        return {path.name for path in (self.root / self._kind / "snapshots").iterdir()}


@pytest.fixture(params=sorted(DRIVERS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, request.param)
    try:
        yield made
    finally:
        made.close()
        unmount_all(str(tmp_path))
