"""Unpacking from outside: for an image that came without it, layer by layer over the Snapshots and Diff services."""

from __future__ import annotations

import os

from pycontainerd.client import content, snapshots
from pycontainerd.core.errors import AlreadyExists, DataLoss, NotFound
from pycontainerd.wire.messages import content as content_messages
from pycontainerd.wire.messages import diff as diff_messages
from pycontainerd.wire.messages import snapshots as messages
from pycontainerd.wire.messages.google import Empty, FieldMask
from pycontainerd.wire.messages.types import Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycontainerd.client.daemon import Daemon
    from pycontainerd.client.images import Contents

    Json = dict[str, Any]

DIFF = "containerd.services.diff.v1.Diff"


def unpack(daemon: Daemon, snapshotter: str, image: Contents, *, lease: str) -> None:
    """Make the snapshots of all layers that are not there yet. Raises DataLoss when one is not what was promised."""
    layers: list[Json] = image.manifest.get("layers") or []
    if len(layers) != len(image.diff_ids):
        raise DataLoss(f"image {image.name} has {len(layers)} layers in its manifest, {len(image.diff_ids)} otherwise")
    parent = ""
    for layer, diff_id, name in zip(layers, image.diff_ids, image.chain, strict=True):
        if not _exists(daemon, snapshotter, name):
            _apply(daemon, snapshotter, layer, diff_id, (parent, name), lease)
        parent = name
    if parent:
        _keep(daemon, snapshotter, image.config_digest, parent)


def _keep(daemon: Daemon, snapshotter: str, config: str, top: str) -> None:
    """Have the image's configuration refer to its topmost snapshot, so that the image keeps it from being collected."""
    label = f"containerd.io/gc.ref.snapshot.{snapshotter}"
    request = content_messages.UpdateRequest(
        info=content_messages.Info(digest=config, labels={label: top}), update_mask=FieldMask(paths=[f"labels.{label}"])
    )
    daemon.call(content.SERVICE, "Update", request, content_messages.UpdateResponse)


def _exists(daemon: Daemon, snapshotter: str, name: str) -> bool:
    request = messages.StatSnapshotRequest(snapshotter=snapshotter, key=name)
    try:
        daemon.call(snapshots.SERVICE, "Stat", request, messages.StatSnapshotResponse)
    except NotFound:
        return False
    return True


def _apply(daemon: Daemon, snapshotter: str, layer: Json, diff_id: str, chain: tuple[str, str], lease: str) -> None:
    parent, name = chain
    key = f"extract-{os.urandom(6).hex()} {name}"
    descriptor = Descriptor(media_type=layer["mediaType"], digest=layer["digest"], size=layer["size"])
    mounts = snapshots.prepare(daemon, snapshotter, key, parent, lease=lease)
    try:
        request = diff_messages.ApplyRequest(diff=descriptor, mounts=mounts)
        applied = daemon.call(DIFF, "Apply", request, diff_messages.ApplyResponse, lease=lease).applied
        if applied is None or applied.digest != diff_id:
            raise DataLoss("layer", layer["digest"], "unpacked it has another digest than the image says")
        commit = messages.CommitSnapshotRequest(snapshotter=snapshotter, key=key, name=name)
        daemon.call(snapshots.SERVICE, "Commit", commit, Empty, lease=lease)
    except AlreadyExists:  # somebody else was quicker
        snapshots.remove(daemon, snapshotter, key)
    except BaseException:
        snapshots.remove(daemon, snapshotter, key)
        raise
