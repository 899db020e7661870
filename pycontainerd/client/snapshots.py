"""Snapshots seen from outside: what a container stands on, and what images weigh."""

from __future__ import annotations

from pycontainerd.core.errors import NotFound
from pycontainerd.wire.messages import snapshots as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.types import Mount

SERVICE = "containerd.services.snapshots.v1.Snapshots"


def prepare(
    daemon: Daemon,
    snapshotter: str,
    key: str,
    parent: str,
    *,
    lease: str = "",
    labels: Mapping[str, str] | None = None,
) -> Sequence[Mount]:
    """A writable snapshot on ``parent``; how to mount it. Raises AlreadyExists, NotFound for the parent."""
    request = messages.PrepareSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent, labels=labels or {})
    return daemon.call(SERVICE, "Prepare", request, messages.PrepareSnapshotResponse, lease=lease).mounts


def view(daemon: Daemon, snapshotter: str, key: str, parent: str, *, lease: str = "") -> None:
    """A read-only snapshot that shows ``parent``. Raises AlreadyExists, NotFound for the parent."""
    request = messages.ViewSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent)
    daemon.call(SERVICE, "View", request, messages.ViewSnapshotResponse, lease=lease)


def mounts(daemon: Daemon, snapshotter: str, key: str) -> Sequence[Mount]:
    """How to mount it. Raises NotFound."""
    request = messages.MountsRequest(snapshotter=snapshotter, key=key)
    return daemon.call(SERVICE, "Mounts", request, messages.MountsResponse).mounts


def remove(daemon: Daemon, snapshotter: str, key: str) -> None:
    """Remove it; one that is gone is fine."""
    try:
        daemon.call(SERVICE, "Remove", messages.RemoveSnapshotRequest(snapshotter=snapshotter, key=key), Empty)
    except NotFound:
        pass


def size(daemon: Daemon, snapshotter: str, key: str) -> int:
    """Bytes the snapshot adds to its parent, 0 when there is none of that key."""
    request = messages.UsageRequest(snapshotter=snapshotter, key=key)
    try:
        return daemon.call(SERVICE, "Usage", request, messages.UsageResponse).size
    except NotFound:
        return 0


def infos(daemon: Daemon, snapshotter: str) -> dict[str, messages.Info]:
    """All snapshots by name."""
    request = messages.ListSnapshotsRequest(snapshotter=snapshotter)
    found: dict[str, messages.Info] = {}
    with daemon.stream(SERVICE, "List", request, messages.ListSnapshotsResponse) as answers:
        for answer in answers:
            found.update((info.name, info) for info in answer.info)
    return found
