"""Snapshots: layered directory trees, by key while active and by name once committed."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.filters import ABSENT, map_field, text_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.filters import Adaptor
    from pycontainerd.core.values import Mount

REBASE = "rebase"
"""Capability: an active snapshot without a parent can be committed onto one."""
REMAP_IDS = "remap-ids"
"""Capability: mounts honour the labels `containerd.io/snapshot/uidmapping` and `gidmapping`."""
REF_LABEL = "containerd.io/snapshot.ref"
"""Names what a snapshot is to become; Prepare answers AlreadyExists when that is there."""

MAX_SIZE = "containerd.io/snapshot/max-size"
"""Label of an active snapshot: how many bytes it may hold beside its parents; enforced, or Prepare fails."""


class Kind(enum.Enum):
    """What a snapshot is; the values are the words filters use."""

    VIEW = "view"
    ACTIVE = "active"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot's record."""

    name: str
    parent: str = ""
    kind: Kind = Kind.ACTIVE
    created_at: datetime | None = None
    updated_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Disk use of one snapshot without its parents; ``size`` in bytes."""

    size: int = 0
    inodes: int = 0


class SnapshotDriver(Protocol):
    """Where the bytes live: directories by opaque backend id, no names, no namespaces, no records.

    ``parents`` are backend ids, nearest first. Every method is idempotent, since a crash may repeat it, and raises
    OSError when the disk fails.
    """

    name: str
    root: str
    capabilities: Sequence[str]

    def prepare(self, id: str, parents: Sequence[str], kind: Kind, labels: Mapping[str, str]) -> None: ...

    def mounts(
        self,
        id: str,
        parents: Sequence[str],
        kind: Kind,
        labels: Mapping[str, str],
    ) -> list[Mount]: ...

    def commit(self, id: str, parents: Sequence[str]) -> Usage:
        """Seal the directory and measure it."""

    def usage(self, id: str) -> Usage: ...

    def remove(self, id: str) -> None: ...

    def ids(self) -> Sequence[str]:
        """The backend ids that have a directory: what the boot sweep compares with the rows."""

    def sync(self) -> None:
        """Make what was committed so far survive a power cut."""


class Snapshotter(Protocol):
    """The snapshots of one driver in all namespaces; publishes /snapshot/prepare, commit and remove."""

    name: str

    def stat(self, namespace: str, key: str) -> SnapshotInfo: ...

    def update(self, namespace: str, info: SnapshotInfo, paths: Sequence[str] = ()) -> SnapshotInfo: ...

    def usage(self, namespace: str, key: str) -> Usage: ...

    def mounts(self, namespace: str, key: str) -> list[Mount]: ...

    def prepare(
        self,
        namespace: str,
        key: str,
        parent: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        lease: str = "",
    ) -> list[Mount]: ...

    def view(
        self,
        namespace: str,
        key: str,
        parent: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        lease: str = "",
    ) -> list[Mount]: ...

    def commit(
        self,
        namespace: str,
        name: str,
        key: str,
        labels: Mapping[str, str] | None = None,
        *,
        parent: str = "",
        lease: str = "",
    ) -> None: ...

    def remove(self, namespace: str, key: str) -> None: ...

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Iterator[SnapshotInfo]: ...

    def cleanup(self, namespace: str) -> None:
        """Reclaim what removals left behind. Raises Unimplemented where removal is immediate."""


def adaptor(info: SnapshotInfo) -> Adaptor:
    """The fields that filters see: ``kind``, ``name``, ``parent`` and ``labels``."""

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] == "labels":
            return map_field(info.labels, path[1:])
        fields = {"kind": info.kind.value, "name": info.name, "parent": info.parent}
        return text_field(fields[path[0]]) if path[0] in fields else ABSENT

    return field_of
