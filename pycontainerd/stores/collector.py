"""Garbage collection over the stores: one graph, one transaction, files afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.gc import Item, Node


class Store(Protocol):
    """One noun's part in a collection.

    Both run inside transactions of the collector (``items`` possibly in a read-only one) and touch the connection only:
    events and the removal of files are registered with ``Database.after_commit`` and must not block there.
    """

    def items(self, connection: Connection) -> Iterable[Item]:
        """Every object of this store in all namespaces, with its labels and built-in references."""

    def remove(self, connection: Connection, nodes: Sequence[Node]) -> None:
        """Delete the rows of those nodes that are of this store's kind; children before parents is its own business."""

    def sweep(self) -> None:
        """After a collection that removed something, on the collector's thread: delete files without rows."""
