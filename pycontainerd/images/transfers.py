"""The transfer engine: pull, import, export and tag behind one interface (``core.transfer.Transfers``)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument, NotFound, Unimplemented
from pycontainerd.core.manifest import CONFIGS, MAX_DOCUMENT, Manifest, is_layer, parse_config, parse_document, ref_key
from pycontainerd.core.platforms import normalize, rank
from pycontainerd.core.spans import Span, no_span
from pycontainerd.core.transfer import PLAIN_EXPORT, ExportOptions, Progress, Report, silent
from pycontainerd.images.exporter import Exporter
from pycontainerd.images.holding import leased, store_images, without_annotations
from pycontainerd.images.importer import Importer, label_documents
from pycontainerd.images.naming import names_of_import, names_of_pull
from pycontainerd.images.pull import Defaults, Puller, Stores, select
from pycontainerd.images.unpack import UnpackContext, plan_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycontainerd.core.images import Image
    from pycontainerd.core.manifest import Index
    from pycontainerd.core.transfer import ImageTarget, Reader, RegistryOptions, Writer
    from pycontainerd.core.values import Descriptor
    from pycontainerd.images.unpack import Unpacker


class LocalTransfers:
    """Implements ``core.transfer.Transfers`` on this daemon's stores."""

    def __init__(
        self,
        stores: Stores,
        unpacker: Unpacker,
        defaults: Defaults,
        *,
        proxy: Callable[[str], str] | None = None,
        span: Span = no_span,
    ) -> None:
        self._stores, self._unpacker, self._defaults, self._span = stores, unpacker, defaults, span
        self._puller = Puller(stores, unpacker, defaults, proxy=proxy, span=span)

    def pull(
        self,
        namespace: str,
        reference: str,
        target: ImageTarget,
        *,
        registry: RegistryOptions,
        progress: Report = silent,
        lease: str = "",
    ) -> Sequence[Image]:
        """See the protocol."""
        return self._puller.pull(namespace, reference, target, registry=registry, progress=progress, lease=lease)

    def push(
        self,
        namespace: str,
        source: ImageTarget,
        reference: str,
        *,
        registry: RegistryOptions,
        progress: Report = silent,
    ) -> None:
        """See the protocol."""
        raise Unimplemented("push to a registry")

    def import_archive(
        self,
        namespace: str,
        stream: Reader,
        target: ImageTarget,
        *,
        compress: bool = False,
        progress: Report = silent,
        lease: str = "",
    ) -> Sequence[Image]:
        """See the protocol. An archive whose images get no name raises NotFound, and leaves nothing behind."""
        for each in target.unpacks:
            self._unpacker.require(each.snapshotter or self._defaults.snapshotter)
        with self._span("import"), leased(self._stores.leases, namespace, lease) as held:
            progress(Progress("Importing"))
            content = self._stores.content
            root, index = Importer(content, namespace, held, compress=compress).run(_Watched(stream, progress))
            label_documents(content, namespace, index)
            self._unpack(namespace, index, target, progress, held)
            images = self._store(namespace, root, index, target, held)
            for image in images:
                progress(Progress("saved", image.name, descriptor=image.target))
            progress(Progress("Completed import"))
            return images

    def _store(self, namespace: str, root: Descriptor, index: Index, target: ImageTarget, lease: str) -> list[Image]:
        named: list[tuple[list[str], Descriptor]] = [(names_of_pull(target, root), root)]
        named += [(names_of_import(target, child.descriptor), child.descriptor) for child in index.manifests]
        if not any(names for names, _ in named):
            raise NotFound("name for an image of the archive", hint="the archive names none; give one")
        found: list[Image] = []
        for names, descriptor in named:
            descriptor = without_annotations(descriptor)
            found += store_images(self._stores.images, namespace, names, descriptor, target.labels, lease)
        return found

    def _unpack(self, namespace: str, index: Index, target: ImageTarget, progress: Report, lease: str) -> None:
        """Unpack, for each platform asked, the best of each image in the archive."""
        for each in target.unpacks:
            platform = normalize(each.platform) if each.platform.architecture else self._defaults.platform
            name = each.snapshotter or self._defaults.snapshotter
            context = UnpackContext(namespace, name, lease, progress)
            manifests: dict[Descriptor, Manifest] = {}
            for child, _ in select(index.manifests, target):
                self._find(namespace, child.descriptor, manifests)
            for descriptor, manifest in manifests.items():
                digest = manifest.config.descriptor.digest
                config = parse_config(self._stores.content.read(namespace, digest, MAX_DOCUMENT))
                if config.platform.architecture and rank(config.platform, [platform]) is None:
                    continue
                layers = plan_layers([layer.descriptor for layer in manifest.layers], config.diff_ids)
                key, size = ref_key(descriptor), descriptor.size
                progress(Progress("complete", key, (), size, size, descriptor))
                self._unpacker.unpack(replace(context, parents=(key,)), layers, digest)

    def _find(self, namespace: str, descriptor: Descriptor, found: dict[Descriptor, Manifest]) -> None:
        """The container images at or below a descriptor that are here."""
        if any(each.digest == descriptor.digest for each in found):
            return
        try:
            data = self._stores.content.read(namespace, descriptor.digest, MAX_DOCUMENT)
        except NotFound:
            return
        document = parse_document(data, descriptor.media_type)
        if not isinstance(document, Manifest):
            for child in document.manifests:
                self._find(namespace, child.descriptor, found)
        elif document.config.descriptor.media_type in CONFIGS and all(
            is_layer(layer.descriptor.media_type) for layer in document.layers
        ):
            found[descriptor] = document

    def export_archive(
        self,
        namespace: str,
        source: ImageTarget,
        stream: Writer,
        *,
        options: ExportOptions = PLAIN_EXPORT,
        progress: Report = silent,
    ) -> None:
        """See the protocol."""
        images = self._lookup(namespace, source)
        with self._span("export"):
            progress(Progress("Exporting"))
            Exporter(self._stores.content, namespace, self._defaults.platform, options).run(images, stream)
            progress(Progress("Completed export"))

    def tag(self, namespace: str, source: ImageTarget, target: ImageTarget) -> Sequence[Image]:
        """See the protocol. Labels come from the target, or from the source image where it has none."""
        found: list[Image] = []
        for image in self._lookup(namespace, source):
            names = names_of_pull(target, image.target)
            if not names:
                raise InvalidArgument("image target", hint="it has no name")
            labels = target.labels or image.labels
            found += store_images(self._stores.images, namespace, names, image.target, labels, "")
        return found

    def _lookup(self, namespace: str, source: ImageTarget) -> list[Image]:
        """The images a source names. Raises NotFound, Unimplemented for prefixes."""
        names = [source.name] if source.name else []
        for reference in source.extra_references:
            if reference.is_prefix:
                raise Unimplemented("looking images up by prefix", reference.name)
            names.append(reference.name)
        if not names:
            raise InvalidArgument("image source", hint="it has no name")
        return [self._stores.images.get(namespace, name) for name in dict.fromkeys(names)]


class _Watched:
    """Reads on, and lets the caller give up between two pieces."""

    def __init__(self, stream: Reader, progress: Report) -> None:
        self._stream, self._progress, self._read, self._told = stream, progress, 0, 0

    def read(self, size: int, /) -> bytes:
        """As the stream does."""
        data = self._stream.read(size)
        self._read += len(data)
        if self._read - self._told > 4 << 20:
            self._told = self._read
            self._progress(Progress("Importing", progress=self._read))
        return data
