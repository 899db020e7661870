"""The walking differ: layers applied onto and computed from the mounts of snapshots, in confined workers.

No mount is ever made in the daemon's namespace, and no byte of a layer is interpreted in the daemon.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

from pycontainerd.core.diff import LAYER_TAR
from pycontainerd.core.errors import AlreadyExists, Unimplemented
from pycontainerd.core.identifiers import stored_labels
from pycontainerd.core.manifest import UNCOMPRESSED, layer_compression
from pycontainerd.core.spans import Span, no_span
from pycontainerd.core.values import Descriptor
from pycontainerd.images.plan import lower_directories, plan_apply, read_only
from pycontainerd.images.workers import Workers, read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycontainerd.core.content import ContentStore, Writer
    from pycontainerd.core.values import AnyValue, Mount

COMPARE_TYPES = {LAYER_TAR: "", LAYER_TAR + "+gzip": "gzip", LAYER_TAR + "+zstd": "zstd"}
"""Layer types that can be written, and their codecs."""


class WalkingDiffer:
    """Implements ``core.diff.Differ``. ``limits`` are the keyword arguments of ``tarstream.Limits``."""

    def __init__(
        self,
        content: ContentStore,
        workers: Workers,
        *,
        limits: Mapping[str, int] | None = None,
        span: Span = no_span,
    ) -> None:
        self._content, self._workers, self._span = content, workers, span
        self._limits = dict(limits or {})

    def apply(
        self,
        namespace: str,
        descriptor: Descriptor,
        mounts: Sequence[Mount],
        *,
        payloads: Mapping[str, AnyValue] | None = None,
        sync: bool = False,
    ) -> Descriptor:
        """See ``core.diff.Differ``. ``payloads`` belong to stream processors, of which there are none."""
        applied, _ = self.extract(namespace, descriptor, mounts, sync=sync)
        return applied

    def extract(
        self,
        namespace: str,
        descriptor: Descriptor,
        mounts: Sequence[Mount],
        *,
        detached: bool = False,
        sync: bool = False,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[Descriptor, list[str]]:
        """As ``apply``; also returns the directories that the layer only implied and nothing served as model for.

        ``detached`` says that the snapshot gets its parent only when committed: whiteouts are then written for
        overlayfs although the mount is a plain directory, or they would be lost.
        """
        kind = layer_compression(descriptor.media_type)
        plan = plan_apply(mounts)
        request: dict[str, Any] = {
            "op": "apply",
            "mounts": [_wire(mount) for mount in plan.mounts],
            "parents": plan.lowers,
            "overlay": plan.overlay or detached,
            "userxattr": plan.userxattr,
            "compression": None if kind else "",
            "sync": sync,
            "limits": self._limits,
        }
        if plan.root:
            request["root"] = plan.root
        with (
            self._span("diff.apply", digest=descriptor.digest),
            self._content.open(namespace, descriptor.digest) as blob,
        ):
            answer = self._workers.run(request, blob.fileno(), cancelled=cancelled)
        return Descriptor(LAYER_TAR, answer["digest"], answer["size"]), answer["implied"]

    def dress(self, mounts: Sequence[Mount], parent: Sequence[Mount], paths: Sequence[str]) -> None:
        """Give the directories ``paths`` of a snapshot the looks they have in ``parent`` (a view's mounts)."""
        request = {
            "op": "dress",
            "mounts": [_wire(mount) for mount in mounts],
            "parents": lower_directories(parent),
            "paths": list(paths),
        }
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._workers.run(request, null)
        finally:
            os.close(null)

    def compare(
        self,
        namespace: str,
        lower: Sequence[Mount],
        upper: Sequence[Mount],
        *,
        media_type: str = "",
        ref: str = "",
        labels: Mapping[str, str] | None = None,
        lease: str = "",
        source_date_epoch: int | None = None,
    ) -> Descriptor:
        """See ``core.diff.Differ``; the default type is gzip."""
        media_type = media_type or LAYER_TAR + "+gzip"
        kind = COMPARE_TYPES.get(media_type)
        if kind is None:
            raise Unimplemented("computing a diff of media type", media_type, "want a plain, +gzip or +zstd OCI layer")
        kept = stored_labels(labels or {})
        request = {
            "op": "compare",
            "lower": [_wire(mount) for mount in read_only(lower)],
            "upper": [_wire(mount) for mount in read_only(upper)],
            "compression": kind,
            "epoch": source_date_epoch,
        }
        own = not ref
        ref = ref or f"diff-{secrets.token_hex(12)}"
        with self._span("diff.compare", ref=ref), self._content.writer(namespace, ref, lease=lease) as writer:
            writer.truncate(0)
            try:
                answer = self._stream(request, writer)
            except BaseException:
                writer.truncate(0)  # half a layer is of no use to whoever takes up the ref again
                if own:
                    self._content.abort(namespace, ref)
                raise
            kept[UNCOMPRESSED] = answer["digest"]
            digest, size = writer.digest(), writer.status().offset
            try:
                writer.commit(size=size, expected=digest, labels=kept)
            except AlreadyExists:
                self._label(namespace, digest, kept)
        return Descriptor(media_type, digest, size)

    def _stream(self, request: Mapping[str, Any], writer: Writer) -> dict[str, Any]:
        """Run the job and store what it writes."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        closed = False

        def receive() -> None:
            nonlocal closed
            os.close(writing)  # the worker has its own; ours would keep the pipe from ending
            closed = True
            read_all(reading, writer.write)

        try:
            return self._workers.run(request, writing, receive)
        finally:
            os.close(reading)
            if not closed:
                os.close(writing)

    def _label(self, namespace: str, digest: str, labels: Mapping[str, str]) -> None:
        """Give the labels to a blob that was here already."""
        info = self._content.info(namespace, digest)
        missing = {key: value for key, value in labels.items() if info.labels.get(key) != value}
        if missing:
            update = type(info)(digest, labels=missing)
            self._content.update(namespace, update, [f"labels.{key}" for key in missing])


def _wire(mount: Mount) -> list[Any]:
    return [mount.type, mount.source, mount.target, list(mount.options)]
