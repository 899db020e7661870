"""New images made from outside: of a container's changes (``commit``), or of a tar archive (``import``).

Layers, configuration and manifest are written under a lease, so that nothing is collected before the image's name
keeps it all.
"""

from __future__ import annotations

import os
import time

from pycontainerd.client import content, images, leases, snapshots
from pycontainerd.client.jsontext import dumps
from pycontainerd.client.times import rfc3339
from pycontainerd.core.errors import AlreadyExists, DataLoss, InvalidArgument
from pycontainerd.wire.messages import content as content_messages
from pycontainerd.wire.messages import diff as diff_messages
from pycontainerd.wire.messages import snapshots as snapshot_messages
from pycontainerd.wire.messages.types import Descriptor

try:
    from _sha256 import sha256  # type: ignore[import-not-found]
except ImportError:
    from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.types import Mount

    Json = dict[str, Any]

DIFF = "containerd.services.diff.v1.Diff"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
_UNCOMPRESSED = "containerd.io/uncompressed"
_CHUNK = 1 << 20


class Story:
    """What an image says of its making."""

    __slots__ = ("author", "by", "comment")

    def __init__(self, *, author: str = "", comment: str = "", by: str = "") -> None:
        self.author, self.comment, self.by = author, comment, by


def commit(daemon: Daemon, container: Container, name: str, config: Json, story: Story) -> str:
    """An image of what the container changed, on top of its own image; return its digest.

    ``name`` is a full name, empty for an image without one; ``config`` is the new image's Config.
    """
    record = container.record
    image = images.get(daemon, record.image) or _by_digest(daemon, container)
    base = images.contents(daemon, image)
    with _Holding(daemon) as lease:
        layer = _changed(daemon, record.snapshotter, record.snapshot_key, lease)
        layers = [*(base.manifest.get("layers") or ()), layer]
        diff_ids = [*base.diff_ids, layer["annotations"][_UNCOMPRESSED]]
        document: Json = {key: base.config[key] for key in ("architecture", "os", "variant") if key in base.config}
        history = [*(base.config.get("history") or ())]
        made = _Making(document, history, layers, diff_ids)
        return made.write(daemon, name, config, story, lease)


def _by_digest(daemon: Daemon, container: Container) -> Any:
    found = images.with_id(daemon, container.settings.get("Image") or "")
    if not found:
        raise InvalidArgument("the container's image is gone, so nothing can be put on top of it")
    return found[0]


def import_tar(daemon: Daemon, pieces: Iterable[bytes], name: str, config: Json, story: Story, platform: str) -> str:
    """An image with the tar as its one layer; return its digest. Raises InvalidArgument for what is no tar."""
    system, architecture, variant = images.parse_platform(platform)
    document = {"architecture": architecture, "os": system, **({"variant": variant} if variant else {})}
    with _Holding(daemon) as lease:
        layer, diff_id = _layer_of(daemon, pieces, lease)
        return _Making(document, [], [layer], [diff_id]).write(daemon, name, config, story, lease)


class _Holding:
    """A lease for the length of a block."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon, self._id = daemon, f"pyctr-build-{os.urandom(8).hex()}"

    def __enter__(self) -> str:
        leases.create(self._daemon, self._id, {})
        return self._id

    def __exit__(self, *_exception: object) -> None:
        leases.delete(self._daemon, self._id)


class _Making:
    """An image in the making: its configuration so far, and its layers, the lowest first."""

    def __init__(self, document: Json, history: list[Json], layers: list[Json], diff_ids: list[str]) -> None:
        self._document, self._history, self._layers, self._diff_ids = document, history, layers, diff_ids

    def write(self, daemon: Daemon, name: str, config: Json, story: Story, lease: str) -> str:
        now = rfc3339(time.time_ns())
        step = {"created": now, "created_by": story.by, "author": story.author, "comment": story.comment}
        document = {
            **self._document,
            "created": now,
            **({"author": story.author} if story.author else {}),
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": self._diff_ids},
            "history": [*self._history, {key: value for key, value in step.items() if value}],
        }
        settings = _document(daemon, document, CONFIG, {}, lease)
        plain = [{key: layer[key] for key in ("mediaType", "digest", "size")} for layer in self._layers]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": settings, "layers": plain}
        labels = {"containerd.io/gc.ref.content.config": settings["digest"]}
        labels.update({f"containerd.io/gc.ref.content.l.{i}": layer["digest"] for i, layer in enumerate(plain)})
        top = _document(daemon, manifest, MANIFEST, labels, lease)
        target = Descriptor(media_type=MANIFEST, digest=top["digest"], size=top["size"])
        images.create(daemon, name or images.NAMELESS + top["digest"], target)
        _unpack(daemon, target, name or images.NAMELESS + top["digest"], lease)
        return str(top["digest"])


def _unpack(daemon: Daemon, target: Descriptor, name: str, lease: str) -> None:
    from pycontainerd.client import unpack

    image = images.get(daemon, name)
    if image is not None:
        unpack.unpack(daemon, images.SNAPSHOTTER, images.contents(daemon, image), lease=lease)


def _changed(daemon: Daemon, snapshotter: str, key: str, lease: str) -> Json:
    """The container's changes as a layer in the content store: its descriptor, with the digest of the plain tar."""
    upper = snapshots.mounts(daemon, snapshotter, key)
    request = snapshot_messages.StatSnapshotRequest(snapshotter=snapshotter, key=key)
    info = daemon.call(snapshots.SERVICE, "Stat", request, snapshot_messages.StatSnapshotResponse).info
    view = f"{key}-commit-{os.urandom(4).hex()}"
    lower = _view(daemon, snapshotter, view, info.parent if info else "", lease)
    try:
        diff = diff_messages.DiffRequest(left=lower, right=upper, media_type=LAYER, ref=view)
        made = daemon.call(DIFF, "Diff", diff, diff_messages.DiffResponse, lease=lease).diff
    finally:
        snapshots.remove(daemon, snapshotter, view)
    if made is None:
        raise DataLoss("the daemon made no layer of the container's changes")
    info_request = content_messages.InfoRequest(digest=made.digest)
    found = daemon.call(content.SERVICE, "Info", info_request, content_messages.InfoResponse).info
    plain = made.annotations.get(_UNCOMPRESSED) or (found.labels.get(_UNCOMPRESSED) if found else "") or made.digest
    return {"mediaType": LAYER, "digest": made.digest, "size": made.size, "annotations": {_UNCOMPRESSED: plain}}


def _view(daemon: Daemon, snapshotter: str, key: str, parent: str, lease: str) -> Sequence[Mount]:
    request = snapshot_messages.ViewSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent)
    answer = daemon.call(snapshots.SERVICE, "View", request, snapshot_messages.ViewSnapshotResponse, lease=lease)
    return answer.mounts


def _document(daemon: Daemon, document: Json, media_type: str, labels: dict[str, str], lease: str) -> Json:
    data = dumps(document).encode()
    digest = "sha256:" + sha256(data).hexdigest()
    write(daemon, [data], digest=digest, labels=labels, lease=lease)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _layer_of(daemon: Daemon, pieces: Iterable[bytes], lease: str) -> tuple[Json, str]:
    """A tar, compressed in whatever way, as a gzip layer; its descriptor and the digest of the plain tar."""
    from zlib import MAX_WBITS, compressobj

    plain, packed, sizes = sha256(), sha256(), [0]
    packer = compressobj(1, wbits=16 + MAX_WBITS)

    def through() -> Iterator[bytes]:
        for piece in _plain(pieces):
            plain.update(piece)
            yield packer.compress(piece)
        yield packer.flush()

    def counted() -> Iterator[bytes]:
        for piece in through():
            packed.update(piece)
            sizes[0] += len(piece)
            yield piece

    write(daemon, counted(), digest="", labels={}, lease=lease)
    layer = {"mediaType": LAYER, "digest": "sha256:" + packed.hexdigest(), "size": sizes[0]}
    return layer, "sha256:" + plain.hexdigest()


def _plain(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The stream unpacked, whatever of gzip, bzip2, xz and zstd it is."""
    source = iter(pieces)
    head = b""
    while len(head) < 262:
        piece = next(source, b"")
        if not piece:
            break
        head += piece

    def rejoined() -> Iterator[bytes]:
        yield head
        yield from source

    unpacker: Any = _unpacker(head)
    if unpacker is None:
        if head[257:262] != b"ustar" and head[:1] != b"\0":
            raise InvalidArgument("what is to be imported is not a tar archive")
        yield from rejoined()
        return
    for piece in rejoined():
        yield unpacker.decompress(piece)


def _unpacker(head: bytes) -> Any:
    if head.startswith(b"\x1f\x8b"):
        from zlib import MAX_WBITS, decompressobj

        return decompressobj(16 + MAX_WBITS)
    if head.startswith(b"BZh"):
        from bz2 import BZ2Decompressor

        return BZ2Decompressor()
    if head.startswith(b"\xfd7zXZ"):
        from lzma import LZMADecompressor

        return LZMADecompressor()
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            from zstandard import ZstdDecompressor
        except ImportError as error:
            raise InvalidArgument("the archive is packed with zstd", hint="unpack it first: zstd -d") from error
        return ZstdDecompressor().decompressobj()
    return None


def write(daemon: Daemon, pieces: Iterable[bytes], *, digest: str, labels: dict[str, str], lease: str) -> None:
    """Write a blob; one that is there is fine. ``digest`` is checked when it is given. Raises DataLoss."""
    action = content_messages.WriteAction
    another = daemon.another()
    another._client.lease = lease
    ref, offset = f"pyctr-{os.urandom(8).hex()}", 0
    try:
        with another.open_stream(content.SERVICE, "Write", content_messages.WriteContentResponse) as stream:
            for piece in pieces:
                for start in range(0, len(piece), _CHUNK):
                    part = piece[start : start + _CHUNK]
                    request = content_messages.WriteContentRequest
                    stream.send(request(action=action.WRITE, ref=ref, offset=offset, data=part))
                    stream.recv()
                    offset += len(part)
            commit = content_messages.WriteContentRequest(
                action=action.COMMIT, ref=ref, offset=offset, total=offset, expected=digest, labels=labels
            )
            stream.send(commit)
            stream.recv()
    except AlreadyExists:
        pass
    finally:
        another.close()
