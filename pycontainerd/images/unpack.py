"""Unpacking an image: its layers become a chain of committed snapshots, named by chain id.

Keys and labels are those of containerd's own clients, so that either finds what the other left. Where the driver can
give a snapshot its parent at commit time (``rebase``), layers are extracted several at once and then committed bottom
up; elsewhere one after the other. A layer whose bytes do not hash to the diff id that the config promises is refused.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.content import ContentInfo
from pycontainerd.core.digest import chain_ids
from pycontainerd.core.errors import AlreadyExists, Cancelled, InvalidArgument, NotFound, PycontainerdError
from pycontainerd.core.leases import LeaseResource
from pycontainerd.core.manifest import GC_SNAPSHOT, UNCOMPRESSED, ref_key
from pycontainerd.core.spans import Span, no_span
from pycontainerd.core.transfer import Progress, Report, silent
from pycontainerd.images.plan import upper_directory
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from pycontainerd.core.content import ContentStore
    from pycontainerd.core.leases import LeaseStore
    from pycontainerd.core.snapshots import Snapshotter
    from pycontainerd.core.values import Descriptor, Mount
    from pycontainerd.images.differ import WalkingDiffer

SNAPSHOT_REF = "containerd.io/snapshot.ref"
DIFF_ID = "containerd.io/snapshot/diff-id"
PARENT_CHAIN = "containerd.io/snapshot/parent-chain-id"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer on its way: ``wait`` blocks until its blob is in the content store and raises when it never will be."""

    descriptor: Descriptor
    diff_id: str
    chain: str
    parent: str
    wait: Callable[[], object] = bool


@dataclass(frozen=True, slots=True)
class _Extracted:
    """A snapshot with a layer in it, not yet committed."""

    key: str
    mounts: Sequence[Mount]
    implied: Sequence[str]


@dataclass(frozen=True, slots=True)
class UnpackContext:
    """Where and for whom: the lease that holds what is made, and who hears of it, as of parts of ``parents``."""

    namespace: str
    snapshotter: str
    lease: str = ""
    progress: Report = silent
    parents: tuple[str, ...] = ()


class Unpacker:
    """Unpacks into ``snapshotters``; those named in ``rebasing`` are filled ``workers`` layers at a time."""

    def __init__(
        self,
        content: ContentStore,
        snapshotters: Mapping[str, Snapshotter],
        leases: LeaseStore,
        differ: WalkingDiffer,
        *,
        rebasing: Collection[str] = (),
        workers: int = 3,
        span: Span = no_span,
    ) -> None:
        self._content, self._snapshotters, self._leases = content, snapshotters, leases
        self._differ, self._rebasing, self._workers, self._span = differ, rebasing, workers, span
        self._locks: dict[tuple[str, str, str], list[threading.Lock]] = {}
        self._guard = threading.Lock()

    def require(self, name: str) -> Snapshotter:
        """The snapshotter of that name. Raises NotFound."""
        found = self._snapshotters.get(name)
        if found is None:
            raise NotFound("snapshotter", name, f"there is {', '.join(sorted(self._snapshotters)) or 'none'}")
        return found

    def unpack(self, context: UnpackContext, layers: Sequence[Layer], config: str) -> str:
        """Bring the chain of ``layers`` (see ``plan_layers``) into being and let the config blob keep it.

        Returns the last chain id, empty for an image without layers. Raises NotFound (snapshotter, blob),
        InvalidArgument (a layer is broken or not what the config says), ResourceExhausted.
        """
        snapshots = self.require(context.snapshotter)
        if not layers:
            return ""
        with self._span("unpack", snapshotter=context.snapshotter), self._alone(context, layers[-1].chain):
            missing = self._missing(context, snapshots, layers)
            if len(missing) > 1 and context.snapshotter in self._rebasing:
                self._together(context, snapshots, missing)
            else:
                for layer in missing:
                    self._one(context, snapshots, layer)
        self._label(context.namespace, config, {GC_SNAPSHOT + context.snapshotter: layers[-1].chain})
        return layers[-1].chain

    def _missing(self, context: UnpackContext, snapshots: Snapshotter, layers: Sequence[Layer]) -> Sequence[Layer]:
        """The layers above the highest snapshot that exists; that one is leased (it keeps those below)."""
        for index in range(len(layers), 0, -1):
            chain = layers[index - 1].chain
            with suppress(NotFound):
                snapshots.stat(context.namespace, chain)
                self._hold(context, chain)
                snapshots.stat(context.namespace, chain)  # still there, and now it stays
                return layers[index:]
        return layers

    def _hold(self, context: UnpackContext, chain: str) -> None:
        if context.lease:
            resource = LeaseResource(f"snapshots/{context.snapshotter}", chain)
            self._leases.add_resource(context.namespace, context.lease, resource)

    def _one(self, context: UnpackContext, snapshots: Snapshotter, layer: Layer) -> None:
        """One layer on its committed parent."""
        layer.wait()
        extracted = self._extract(context, snapshots, layer, layer.parent)
        if extracted is not None:
            self._commit(context, snapshots, layer, extracted, layer.parent)

    def _together(self, context: UnpackContext, snapshots: Snapshotter, layers: Sequence[Layer]) -> None:
        """Several layers at once, each without a parent until it is committed, bottom up."""
        stopped = threading.Event()
        failures: list[BaseException] = []

        def work(layer: Layer) -> _Extracted | None:
            try:
                layer.wait()
                return self._extract(context, snapshots, layer, "", stopped)
            except BaseException as error:
                failures.append(error)
                stopped.set()
                raise

        with ThreadPoolExecutor(self._workers, "unpack") as pool:
            jobs = [pool.submit(work, layer) for layer in layers]
            taken = 0
            try:
                for layer, job in zip(layers, jobs, strict=True):
                    extracted = job.result()
                    taken += 1
                    if extracted is not None:
                        self._commit(context, snapshots, layer, extracted, layer.parent, detached=True)
            except BaseException as error:  # noqa: BLE001 - the first failure is raised, whoever had it
                stopped.set()
                pool.shutdown(cancel_futures=True)
                self._discard(context, snapshots, jobs[taken:])
                raise (failures or [error])[0] from None

    def _discard(
        self, context: UnpackContext, snapshots: Snapshotter, jobs: Sequence[Future[_Extracted | None]]
    ) -> None:
        """Remove what finished jobs left that nobody will commit."""
        for job in jobs:
            if not job.cancelled() and job.exception() is None and (left := job.result()) is not None:
                self._remove(context, snapshots, left.key)

    def _extract(
        self,
        context: UnpackContext,
        snapshots: Snapshotter,
        layer: Layer,
        parent: str,
        stopped: threading.Event | None = None,
    ) -> _Extracted | None:
        """Extract into a new snapshot; None when the chain id exists meanwhile."""
        if stopped is not None and stopped.is_set():
            raise Cancelled("unpacking was given up")
        prepared = self._prepare(context, snapshots, layer, parent)
        if prepared is None:
            return None
        key, mounts = prepared
        detached = not parent and bool(layer.parent)
        try:
            if detached and not upper_directory(mounts):
                raise InvalidArgument(
                    "snapshotter", context.snapshotter, "cannot unpack layers apart from their parents"
                )
            context.progress(
                Progress("extracting", ref_key(layer.descriptor), context.parents, descriptor=layer.descriptor)
            )
            applied, implied = self._differ.extract(
                context.namespace,
                layer.descriptor,
                mounts,
                detached=detached,
                cancelled=stopped.is_set if stopped is not None else None,
            )
            if applied.digest != layer.diff_id:
                hint = f"its config says {layer.diff_id}, its content is {applied.digest}"
                raise InvalidArgument("layer", layer.descriptor.digest, hint)
        except BaseException:
            self._remove(context, snapshots, key)
            raise
        hit("unpack.extracted")
        size = layer.descriptor.size
        context.progress(
            Progress("extracted", ref_key(layer.descriptor), context.parents, size, size, layer.descriptor)
        )
        return _Extracted(key, mounts, implied)

    def _prepare(
        self, context: UnpackContext, snapshots: Snapshotter, layer: Layer, parent: str
    ) -> tuple[str, Sequence[Mount]] | None:
        labels = {SNAPSHOT_REF: layer.chain, DIFF_ID: layer.diff_id}
        if layer.parent:
            labels[PARENT_CHAIN] = layer.parent
        for _ in range(_ATTEMPTS):
            key = f"extract-{time.time_ns() % 10**9}-{_random()} {layer.chain}"
            try:
                return key, snapshots.prepare(context.namespace, key, parent, labels, lease=context.lease)
            except AlreadyExists:
                with suppress(NotFound):
                    snapshots.stat(context.namespace, layer.chain)
                    self._hold(context, layer.chain)
                    return None
        raise AlreadyExists("snapshot", layer.chain, "it comes and goes: is another client removing it?")

    def _commit(
        self,
        context: UnpackContext,
        snapshots: Snapshotter,
        layer: Layer,
        extracted: _Extracted,
        parent: str,
        *,
        detached: bool = False,
    ) -> None:
        try:
            if detached and parent and extracted.implied:
                self._dress(context, snapshots, extracted, parent)
            labels = {SNAPSHOT_REF: layer.chain}
            above = parent if detached else ""
            snapshots.commit(context.namespace, layer.chain, extracted.key, labels, parent=above, lease=context.lease)
        except AlreadyExists:
            self._remove(context, snapshots, extracted.key)
            self._hold(context, layer.chain)
        except BaseException:
            self._remove(context, snapshots, extracted.key)
            raise
        hit("unpack.committed")
        self._label(context.namespace, layer.descriptor.digest, {UNCOMPRESSED: layer.diff_id})

    def _dress(self, context: UnpackContext, snapshots: Snapshotter, extracted: _Extracted, parent: str) -> None:
        """Directories that the layer only implied look as in the parent, which is known only now."""
        key = f"model-{_random()} {parent}"
        model = snapshots.view(context.namespace, key, parent, lease=context.lease)
        try:
            self._differ.dress(extracted.mounts, model, extracted.implied)
        finally:
            self._remove(context, snapshots, key)

    def _remove(self, context: UnpackContext, snapshots: Snapshotter, key: str) -> None:
        """Best effort: the collector takes what is left once the lease is gone."""
        with suppress(PycontainerdError):
            snapshots.remove(context.namespace, key)

    def _label(self, namespace: str, digest: str, labels: Mapping[str, str]) -> None:
        """Set labels on a blob; one that is gone (a client may discard unpacked layers) needs none."""
        with suppress(NotFound):
            have = self._content.info(namespace, digest).labels
            if any(have.get(key) != value for key, value in labels.items()):
                info = ContentInfo(digest, labels=labels)
                self._content.update(namespace, info, [f"labels.{key}" for key in labels])

    @contextmanager
    def _alone(self, context: UnpackContext, chain: str) -> Iterator[None]:
        """One unpacking of a chain at a time: the second finds the work done."""
        key = (context.namespace, context.snapshotter, chain)
        with self._guard:
            waiting = self._locks.setdefault(key, [threading.Lock()])
            waiting.append(waiting[0])
        try:
            with waiting[0]:
                yield
        finally:
            with self._guard:
                waiting.pop()
                if len(waiting) == 1:
                    self._locks.pop(key, None)


def plan_layers(
    descriptors: Sequence[Descriptor], diff_ids: Sequence[str], waits: Sequence[Callable[[], object]] = ()
) -> list[Layer]:
    """Pair layers with their diff ids and chain ids. Raises InvalidArgument when their numbers differ."""
    if len(descriptors) != len(diff_ids):
        hint = f"the manifest lists {len(descriptors)} layers, the config {len(diff_ids)} diff ids"
        raise InvalidArgument("image", hint=hint)
    chains = chain_ids(diff_ids)
    return [
        Layer(descriptor, diff_id, chain, parent, ready)
        for descriptor, diff_id, chain, parent, ready in zip(
            descriptors, diff_ids, chains, ["", *chains[:-1]], waits or [bool] * len(chains), strict=True
        )
    ]


def _random() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(3)).decode()
