"""Pulling: resolve, fetch what is missing (several blobs at once), unpack as the bytes come, store the image.

The order makes every moment safe: a lease holds blobs and snapshots until the image row keeps them; manifests are
stored with the labels that keep their children.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument, NotFound
from pycontainerd.core.manifest import CONFIGS, LEGACY_CONFIG, MAX_DOCUMENT, Manifest, is_layer, parse_config, ref_key
from pycontainerd.core.platforms import format_platform, normalize, rank
from pycontainerd.core.reference import parse
from pycontainerd.core.spans import Span, no_span
from pycontainerd.core.transfer import ImageTarget, Progress, RegistryOptions, Report, silent
from pycontainerd.images.download import Downloads
from pycontainerd.images.holding import leased, store_images, without_annotations
from pycontainerd.images.naming import names_of_pull
from pycontainerd.images.registry import Registry
from pycontainerd.images.unpack import UnpackContext, plan_layers
from pycontainerd.wire.failpoint import hit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycontainerd.core.content import ContentStore
    from pycontainerd.core.images import Image, ImageStore
    from pycontainerd.core.leases import LeaseStore
    from pycontainerd.core.manifest import Child, Config
    from pycontainerd.core.transfer import Unpack
    from pycontainerd.core.values import Descriptor, Platform
    from pycontainerd.images.unpack import Unpacker

_MAX_NESTING = 4


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a client leaves open: the host's ``platform``, the ``snapshotter``, how many blobs go at once, and the
    certs.d directory ``host_dir``."""

    platform: Platform
    snapshotter: str = "overlayfs"
    downloads: int = 3
    host_dir: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A manifest that is wanted: with its layers, or (``bare``) for its metadata alone."""

    descriptor: Descriptor
    manifest: Manifest
    platform: Platform | None
    parents: tuple[str, ...]
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Stores:
    """Where things go."""

    content: ContentStore
    images: ImageStore
    leases: LeaseStore


class Puller:
    """Pulls images. ``proxy`` maps a URL to the proxy to use, or to an empty string."""

    def __init__(
        self,
        stores: Stores,
        unpacker: Unpacker,
        defaults: Defaults,
        *,
        proxy: Callable[[str], str] | None = None,
        span: Span = no_span,
    ) -> None:
        self._stores, self._unpacker, self._defaults = stores, unpacker, defaults
        self._proxy, self._span = proxy, span

    def pull(
        self,
        namespace: str,
        reference: str,
        target: ImageTarget,
        *,
        registry: RegistryOptions,
        progress: Report = silent,
        lease: str = "",
    ) -> list[Image]:
        """See ``core.transfer.Transfers``. A target without names gets the reference as name."""
        if not registry.host_dir:
            registry = replace(registry, host_dir=self._defaults.host_dir)
        for each in target.unpacks:
            self._unpacker.require(each.snapshotter or self._defaults.snapshotter)
        client = Registry(parse(reference), registry, proxy=self._proxy)
        try:
            with self._span("pull", reference=reference), leased(self._stores.leases, namespace, lease) as held:
                return self._pull(client, namespace, target, progress, held)
        finally:
            client.close()

    def _pull(self, client: Registry, namespace: str, target: ImageTarget, progress: Report, lease: str) -> list[Image]:
        shown = f"OCI Registry ({client.reference})"
        progress(Progress(f"Resolving from {shown}"))
        with self._span("pull.resolve"):
            root = client.resolve()
        progress(Progress(f"Pulling from {shown}"))
        name = str(client.reference)
        progress(Progress("fetching image content", name, descriptor=root))
        downloads = Downloads(self._stores.content, client, namespace, lease=lease, progress=progress)
        chosen = choose(downloads, root, target, name)
        run = _Run(self._stores, self._unpacker, self._defaults, namespace, lease=lease, progress=progress)
        run.fetch_and_unpack(downloads, chosen, target.unpacks)
        hit("pull.unpacked")
        names = names_of_pull(target, root) or [name]
        images = store_images(self._stores.images, namespace, names, without_annotations(root), target.labels, lease)
        # In this order: ctr shows what is told of no image with what is told next of one.
        progress(Progress(f"Completed pull from {shown}"))
        for image in images:
            progress(Progress("saved", image.name, descriptor=image.target))
        return images


def choose(downloads: Downloads, root: Descriptor, target: ImageTarget, name: str) -> list[Chosen]:
    """Fetch the documents and decide which manifests are wanted.

    Raises NotFound when an index has nothing for the platforms, naming what it has.
    """
    found: list[Chosen] = []
    seen: set[str] = set()
    offered: list[Platform] = []

    def visit(descriptor: Descriptor, platform: Platform | None, parent: str, depth: int, bare: bool) -> None:
        if descriptor.digest in seen:
            return
        seen.add(descriptor.digest)
        document = downloads.document(descriptor, (parent,))
        if isinstance(document, Manifest):
            found.append(Chosen(descriptor, document, platform, (ref_key(descriptor),), bare))
            return
        if depth > _MAX_NESTING:
            raise InvalidArgument("image index", descriptor.digest, "indexes are nested too deeply")
        offered.extend(child.platform for child in document.manifests if child.platform is not None)
        for child, unwanted in select(document.manifests, target):
            visit(child.descriptor, child.platform, ref_key(descriptor), depth + 1, bare or unwanted)

    visit(root, None, name, 1, False)
    if not any(not each.bare for each in found):
        wanted = ", ".join(map(format_platform, target.platforms)) or "any platform"
        has = ", ".join(dict.fromkeys(map(format_platform, offered))) or "nothing"
        raise NotFound("image", name, f"no match for platform in manifest: want {wanted}, it has {has}")
    return found


def select(children: Sequence[Child], target: ImageTarget) -> list[tuple[Child, bool]]:
    """The children of an index to follow, best platform first, each with whether only its metadata is wanted."""
    ranked = [(rank(child.platform, target.platforms) if child.platform else 0, child) for child in children]
    fitting = sorted(((place, child) for place, child in ranked if place is not None), key=lambda pair: pair[0])
    wanted = [child for _, child in fitting]
    if target.manifest_limit and target.platforms:
        wanted = wanted[: target.manifest_limit]
    chosen = [(child, False) for child in wanted]
    if target.all_metadata:
        chosen += [(child, True) for child in children if child not in wanted]
    return chosen


class _Run:
    """Fetching and unpacking for one pull."""

    def __init__(
        self,
        stores: Stores,
        unpacker: Unpacker,
        defaults: Defaults,
        namespace: str,
        *,
        lease: str,
        progress: Report,
    ) -> None:
        self._content, self._unpacker, self._defaults = stores.content, unpacker, defaults
        self._namespace, self._lease, self._progress = namespace, lease, progress

    def fetch_and_unpack(self, downloads: Downloads, chosen: Sequence[Chosen], unpacks: Sequence[Unpack]) -> None:
        """Everything the chosen manifests name; the first failure ends the rest."""
        contexts = [(self._platform(each), self._context(each)) for each in unpacks]
        with (
            ThreadPoolExecutor(self._defaults.downloads, "fetch") as fetchers,
            ThreadPoolExecutor(max(1, len(contexts)), "pull-unpack") as unpackers,
        ):
            jobs: list[Future[object]] = []
            try:
                fetched: dict[str, Future[object]] = {}
                for each in chosen:
                    jobs += self._fetch(fetchers, downloads, each, fetched)
                for platform, context in contexts:
                    job = self._unpack(unpackers, platform, context, chosen, fetched)
                    jobs += [job] if job is not None else []
                for job in jobs:
                    job.result()
            except BaseException:
                downloads.stop()
                fetchers.shutdown(wait=False, cancel_futures=True)
                raise

    def _platform(self, unpack: Unpack) -> Platform:
        return normalize(unpack.platform) if unpack.platform.architecture else self._defaults.platform

    def _context(self, unpack: Unpack) -> UnpackContext:
        name = unpack.snapshotter or self._defaults.snapshotter
        return UnpackContext(self._namespace, name, self._lease, self._progress)

    def _fetch(
        self,
        pool: ThreadPoolExecutor,
        downloads: Downloads,
        chosen: Chosen,
        fetched: dict[str, Future[object]],
    ) -> list[Future[object]]:
        """Start the config (first: unpacking waits for it) and the layers."""
        children = [chosen.manifest.config] if chosen.bare else list(chosen.manifest.children)
        new: list[Future[object]] = []
        for child in children:
            digest = child.descriptor.digest
            if digest not in fetched:
                fetched[digest] = pool.submit(downloads.blob, child.descriptor, chosen.parents)
                new.append(fetched[digest])
        return new

    def _unpack(
        self,
        pool: ThreadPoolExecutor,
        platform: Platform,
        context: UnpackContext,
        chosen: Sequence[Chosen],
        fetched: dict[str, Future[object]],
    ) -> Future[object] | None:
        """Start unpacking the manifest that fits the platform best, if any does."""
        best: tuple[int, Chosen, Config] | None = None
        for each in chosen:
            if each.bare or each.manifest.config.descriptor.media_type not in CONFIGS | {LEGACY_CONFIG}:
                continue
            if not all(is_layer(layer.descriptor.media_type) for layer in each.manifest.layers):
                continue
            digest = each.manifest.config.descriptor.digest
            fetched[digest].result()
            config = parse_config(self._content.read(self._namespace, digest, MAX_DOCUMENT))
            place = rank(config.platform, [platform]) if config.platform.architecture else 0
            if place is not None and (best is None or place < best[0]):
                best = (place, each, config)
        if best is None:
            return None
        manifest = best[1].manifest
        descriptors = [layer.descriptor for layer in manifest.layers]
        waits = [fetched[each.digest].result for each in descriptors]
        layers = plan_layers(descriptors, best[2].diff_ids, waits)
        context = replace(context, parents=best[1].parents)
        return pool.submit(partial(self._unpacker.unpack, context, layers, manifest.config.descriptor.digest))
