"""The snapshots of one snapshotter as the garbage collector sees them: `stores.collector.Store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.gc import Item, Kind, snapshot_node
from pycontainerd.stores import snapshotrows
from pycontainerd.stores.columns import from_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.gc import Node
    from pycontainerd.stores.snapshots import Snapshots


class SnapshotGarbage:
    """Lists snapshots with their parents, and removes those that nothing reaches."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def items(self, connection: Connection) -> Iterable[Item]:
        """Every snapshot in all namespaces, lost ones too."""
        name = self._snapshots.name
        for namespace, key, parent, labels in snapshotrows.graph(connection, name):
            above = (snapshot_node(namespace, name, parent),) if parent else ()
            yield Item(snapshot_node(namespace, name, key), from_text(labels), above)

    def remove(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Delete the rows of this snapshotter's nodes and publish their removal."""
        prefix = f"{self._snapshots.name}/"
        for node in nodes:
            if node.kind is Kind.SNAPSHOT and node.key.startswith(prefix):
                self._snapshots.drop(connection, node.namespace, node.key[len(prefix) :])

    def sweep(self) -> None:
        """Delete the directories without rows."""
        self._snapshots.sweep()
