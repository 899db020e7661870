"""What takes room on the daemon's disk, and for whom: every blob and every layer is counted once, so sums are right.

An item is a key and its bytes: a blob by its digest, a layer by its snapshot. What several images share is shared; what
no image names any more waits for the collector.
"""

from __future__ import annotations

import os

from pycontainerd.client import containers, content, images, snapshots
from pycontainerd.core.errors import PycontainerdError
from pycontainerd.wire.messages import content as content_messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.images import Image

_COMMITTED = 3
"""``containerd.services.snapshots.v1.Kind``."""


class ImageUse:
    """One image (all its names): the keys of what it needs, and how many containers stand on it."""

    __slots__ = ("containers", "digest", "items", "names")

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.names: list[Image] = []
        self.items: set[str] = set()
        self.containers = 0


class Usage:
    """``sizes`` by key; ``images`` by digest; containers with the bytes of their own layer and logs."""

    def __init__(self, daemon: Daemon) -> None:
        self.sizes = _blobs(daemon)
        layers, active = _layers(daemon)
        self.sizes.update(layers)
        self.images = _images(daemon, self.sizes)
        self.containers: list[tuple[Container, int]] = []
        for container in containers.list_all(daemon):
            self.containers.append((container, active.get(container.record.snapshot_key, 0) + _files(container)))
            self._count(container)

    def _count(self, container: Container) -> None:
        digest = str(container.settings.get("Image") or "")
        for use in self.images.values():
            if use.digest == digest or container.record.image in {image.name for image in use.names}:
                use.containers += 1

    @property
    def total(self) -> int:
        """Bytes of all blobs and layers."""
        return sum(self.sizes.values())

    def held(self, uses: list[ImageUse]) -> int:
        """Bytes of what these images need together."""
        return sum(self.sizes.get(key, 0) for key in set().union(*(use.items for use in uses)))

    def unique(self, use: ImageUse) -> int:
        """Bytes that no other image needs."""
        others: set[str] = set().union(*(other.items for other in self.images.values() if other is not use))
        return sum(self.sizes.get(key, 0) for key in use.items - others)


def _blobs(daemon: Daemon) -> dict[str, int]:
    sizes: dict[str, int] = {}
    request = content_messages.ListContentRequest()
    with daemon.stream(content.SERVICE, "List", request, content_messages.ListContentResponse) as answers:
        for answer in answers:
            sizes.update((info.digest, info.size) for info in answer.info)
    return sizes


def _layers(daemon: Daemon) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of committed snapshots by ``layer NAME``, and of active ones by name."""
    committed: dict[str, int] = {}
    active: dict[str, int] = {}
    for name, info in snapshots.infos(daemon, images.SNAPSHOTTER).items():
        size = snapshots.size(daemon, images.SNAPSHOTTER, name)
        if info.kind == _COMMITTED:
            committed["layer " + name] = size
        else:
            active[name] = size
    return committed, active


def _images(daemon: Daemon, sizes: dict[str, int]) -> dict[str, ImageUse]:
    found: dict[str, ImageUse] = {}
    for image in images.list_all(daemon):
        digest = images.digest_of(image)
        if digest not in found:
            found[digest] = ImageUse(digest)
            found[digest].items = _needed(daemon, digest, sizes)
        found[digest].names.append(image)
    return found


def _needed(daemon: Daemon, digest: str, sizes: dict[str, int]) -> set[str]:
    """The keys of a manifest or index and of all below it that are here."""
    if digest not in sizes:
        return set()
    keys = {digest}
    try:
        document = content.document(daemon, digest)
        for entry in document.get("manifests") or ():
            keys |= _needed(daemon, str(entry.get("digest")), sizes)
        config = (document.get("config") or {}).get("digest")
        parts = [config, *(layer.get("digest") for layer in document.get("layers") or ())]
        keys |= {part for part in parts if part in sizes}
        if config in sizes:
            settings = content.document(daemon, config)
            diff_ids = (settings.get("rootfs") or {}).get("diff_ids") or ()
            keys |= {"layer " + name for name in images.chain_of(diff_ids) if "layer " + name in sizes}
    except PycontainerdError:
        pass  # an object of another kind: it weighs what it weighs
    return keys


def _files(container: Container) -> int:
    """Bytes of logs and small files, as far as we may look."""
    path = container.settings.get("LogPath")
    size = 0
    try:
        for entry in os.scandir(os.path.dirname(path)) if path else ():
            size += entry.stat(follow_symlinks=False).st_size
    except OSError:
        pass
    return size
