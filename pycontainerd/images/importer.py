"""Importing image archives: OCI layouts and docker archives, compressed or not, read once from a stream.

Blobs go into the content store as they pass; what they mean is decided when the archive has ended, since its index may
come last. An archive that is both (as Docker writes them today) is read as an OCI layout.
"""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pycontainerd.core.digest import of_bytes
from pycontainerd.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PycontainerdError
from pycontainerd.core.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    IMAGE_NAME,
    MAX_DOCUMENT,
    OCI_INDEX,
    REF_NAME,
    UNCOMPRESSED,
    Child,
    Index,
    Manifest,
    child_labels,
    descriptor_json,
    dump_json,
    load_json,
    parse_config,
    parse_document,
)
from pycontainerd.core.reference import normalize
from pycontainerd.core.values import Descriptor
from pycontainerd.images import compression
from pycontainerd.images.chunks import Archive
from pycontainerd.images.extract import clean
from pycontainerd.images.holding import IMPORT, add_labels
from pycontainerd.images.tarreader import LINK, REGULAR, SYMLINK
from pycontainerd.images.tarstream import TarError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pycontainerd.core.content import ContentStore, Writer
    from pycontainerd.core.transfer import Reader
    from pycontainerd.images.tarreader import Entry

_BLOB = re.compile(r"blobs/(sha256|sha384|sha512)/([0-9a-f]+)\Z")
_IGNORED = {"repositories"}
_MAX_FILES = 100_000
_PIECE = 1 << 20


@dataclass(slots=True)
class _Found:
    """What the archive held: blobs by path, links between paths, and the documents that give it meaning."""

    blobs: dict[str, Descriptor] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    layout: bytes | None = None
    index: bytes | None = None
    manifest: bytes | None = None


class Importer:
    """One import into a namespace under a lease."""

    def __init__(self, content: ContentStore, namespace: str, lease: str, *, compress: bool = False) -> None:
        self._content, self._namespace, self._lease, self._compress = content, namespace, lease, compress
        self._prefix = f"{IMPORT}{secrets.token_hex(6)}"

    def run(self, stream: Reader) -> tuple[Descriptor, Index]:
        """Store everything; return the index that names the images, as descriptor and parsed.

        Raises InvalidArgument for what is no image archive, is truncated or lies about its digests.
        """
        found = self._collect(stream)
        if found.layout is not None:
            layout = load_json(found.layout, "oci-layout")
            version = layout.get("imageLayoutVersion") if isinstance(layout, dict) else None
            if version != "1.0.0":
                raise InvalidArgument("image archive", hint=f"OCI layout of unknown version {version!r}")
            if found.index is None:
                raise InvalidArgument("image archive", hint="the OCI layout has no index.json")
            data = found.index
        elif found.manifest is not None:
            data = self._docker_index(found)
        else:
            raise InvalidArgument("image archive", hint="it has neither oci-layout nor manifest.json")
        index = parse_document(data, OCI_INDEX)
        if not isinstance(index, Index):
            raise InvalidArgument("image archive", hint="its index.json is no index")
        return self._write(data, OCI_INDEX, child_labels(index.children)), index

    # -- reading --

    def _collect(self, stream: Reader) -> _Found:
        found = _Found()
        archive = Archive(stream)
        for entry in archive:
            name = _name(entry.name)
            if len(found.blobs) + len(found.links) > _MAX_FILES:
                raise InvalidArgument("image archive", hint=f"more than {_MAX_FILES} files")
            if entry.kind in {SYMLINK, LINK}:
                found.links[name] = _link_target(entry, name)
            elif entry.kind == REGULAR:
                self._take(archive, found, name, entry.size)
        return found

    def _take(self, archive: Archive, found: _Found, name: str, size: int) -> None:
        if name == "oci-layout":
            found.layout = archive.small(MAX_DOCUMENT, name)
        elif name == "index.json":
            found.index = archive.small(MAX_DOCUMENT, name)
        elif name == "manifest.json":
            found.manifest = archive.small(MAX_DOCUMENT, name)
        elif name not in _IGNORED and not name.endswith("/VERSION"):
            match = _BLOB.match(name)
            expected = f"{match.group(1)}:{match.group(2)}" if match else ""
            found.blobs[name] = Descriptor("", self._ingest(archive.content(), name, size, expected), size)

    def _ingest(self, pieces: Iterable[memoryview], name: str, size: int, expected: str) -> str:
        """Store one file; a blob that is here already is only leased."""
        ref = f"{self._prefix}-{name}"
        try:
            with self._writer(ref, expected=expected) as writer:
                if writer.status().offset != size or not expected:
                    writer.truncate(0)
                    for piece in pieces:
                        writer.write(bytes(piece))
                digest = writer.digest()
                try:
                    return writer.commit(size=size, expected=expected)
                except AlreadyExists:
                    return digest
                except FailedPrecondition as error:
                    raise InvalidArgument("image archive", hint=f"the content of {name} has another digest") from error
        except AlreadyExists:
            return expected

    @contextmanager
    def _writer(self, ref: str, *, total: int = 0, expected: str = "") -> Iterator[Writer]:
        """An ingest that goes away when it fails: nobody will ever resume it, its ref is of this import alone."""
        try:
            with self._content.writer(
                self._namespace, ref, total=total, expected=expected, lease=self._lease
            ) as writer:
                yield writer
        except BaseException:
            with suppress(PycontainerdError):
                self._content.abort(self._namespace, ref)
            raise

    def _write(self, data: bytes, media_type: str, labels: Mapping[str, str]) -> Descriptor:
        """Store a document of our own making (or an index, for itself)."""
        descriptor = Descriptor(media_type, of_bytes(data), len(data))
        try:
            ref = f"{self._prefix}-{descriptor.digest}"
            with self._writer(ref, total=len(data), expected=descriptor.digest) as writer:
                writer.truncate(0)
                writer.write(data)
                writer.commit(size=len(data), expected=descriptor.digest, labels=labels)
        except AlreadyExists:
            add_labels(self._content, self._namespace, descriptor.digest, labels)
        return descriptor

    # -- docker archives --

    def _docker_index(self, found: _Found) -> bytes:
        """The index for a docker archive: one manifest an image, one entry a tag."""
        images = load_json(found.manifest or b"", "manifest.json")
        if not isinstance(images, list) or not images:
            raise InvalidArgument("image archive", hint="its manifest.json lists no images")
        entries: list[object] = []
        for image in images:
            config_name, layer_names, tags = _docker_image(image)
            config = replace(_resolve(found, config_name), media_type=DOCKER_CONFIG)
            layers = [self._layer(_resolve(found, name)) for name in layer_names]
            platform = parse_config(self._content.read(self._namespace, config.digest, MAX_DOCUMENT)).platform
            document = {
                "schemaVersion": 2,
                "mediaType": DOCKER_MANIFEST,
                "config": descriptor_json(Child(config)),
                "layers": [descriptor_json(Child(layer)) for layer in layers],
            }
            labels = child_labels([Child(config), *map(Child, layers)])
            manifest = self._write(dump_json(document), DOCKER_MANIFEST, labels)
            named = [replace(manifest, annotations=_annotations(tag)) for tag in tags] or [manifest]
            entries += [descriptor_json(Child(each, platform)) for each in named]
        return dump_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})

    def _layer(self, layer: Descriptor) -> Descriptor:
        """A layer with its media type; plain ones are replaced by a compressed one that is here, or made so."""
        kind = self._kind(layer)
        if kind == compression.GZIP:
            return replace(layer, media_type=DOCKER_LAYER_GZIP)
        if kind == compression.ZSTD:
            return replace(layer, media_type=DOCKER_LAYER + ".zstd")
        for info in self._content.list(self._namespace, [f'labels."{UNCOMPRESSED}"=={layer.digest}']):
            other = Descriptor("", info.digest, info.size)
            if info.digest != layer.digest and self._kind(other) == compression.GZIP:
                return replace(other, media_type=DOCKER_LAYER_GZIP)
        if self._compress:
            return self._packed(layer)
        return replace(layer, media_type=DOCKER_LAYER)

    def _kind(self, layer: Descriptor) -> str:
        with self._content.open(self._namespace, layer.digest) as blob:
            return compression.detect(blob.pread(compression.HEAD, 0))

    def _packed(self, layer: Descriptor) -> Descriptor:
        packer = compression.compressor(compression.GZIP)
        ref = f"{self._prefix}-compress-{layer.digest}"
        with (
            self._content.open(self._namespace, layer.digest) as blob,
            self._writer(ref) as writer,
        ):
            writer.truncate(0)
            offset = 0
            while data := blob.pread(_PIECE, offset):
                writer.write(packer.compress(data))
                offset += len(data)
            writer.write(packer.flush())
            packed = Descriptor(DOCKER_LAYER_GZIP, writer.digest(), writer.status().offset)
            with suppress(AlreadyExists):
                writer.commit(size=packed.size, expected=packed.digest, labels={UNCOMPRESSED: layer.digest})
        return packed


def label_documents(content: ContentStore, namespace: str, index: Index) -> None:
    """Give every manifest and index below ``index`` that is here the labels that keep its children.

    Raises InvalidArgument for one that does not parse.
    """
    pending = [child.descriptor for child in index.manifests]
    seen: set[str] = set()
    while pending:
        descriptor = pending.pop()
        if descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        try:
            data = content.read(namespace, descriptor.digest, MAX_DOCUMENT)
        except NotFound:
            continue  # an archive of some platforms only
        document = parse_document(data, descriptor.media_type)
        add_labels(content, namespace, descriptor.digest, child_labels(document.children))
        if not isinstance(document, Manifest):
            pending += [child.descriptor for child in document.manifests]


def _name(raw: bytes) -> str:
    try:
        return clean(raw).decode()
    except (TarError, UnicodeDecodeError):
        raise InvalidArgument("image archive", hint="it has a file with a forbidden name") from None


def _link_target(entry: Entry, name: str) -> str:
    """The archive path that a link means (old docker archives share layers so)."""
    if entry.kind == LINK:
        return _name(entry.link)
    directory = name.rpartition("/")[0].encode()
    return _name(directory + b"/" + entry.link if directory else entry.link)


def _resolve(found: _Found, name: str) -> Descriptor:
    try:
        path = _name(name.encode())
        for _ in range(8):
            if path in found.blobs:
                return found.blobs[path]
            path = found.links[path]
    except KeyError:
        pass
    raise InvalidArgument("image archive", hint=f"its manifest.json names {name!r}, which is not in it")


def _docker_image(value: object) -> tuple[str, list[str], list[str]]:
    """(config, layers, tags) of one entry of manifest.json."""
    if isinstance(value, dict):
        config, layers, tags = value.get("Config"), value.get("Layers") or [], value.get("RepoTags") or []
        if isinstance(config, str) and _strings(layers) and _strings(tags):
            return config, layers, tags
    raise InvalidArgument("image archive", hint="an entry of its manifest.json is malformed")


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _annotations(tag: str) -> tuple[tuple[str, str], ...]:
    reference = normalize(tag)
    return ((IMAGE_NAME, str(reference)), (REF_NAME, reference.object))
