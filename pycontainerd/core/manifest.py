"""Manifests, indexes and configs of OCI and Docker (schema 2) images: parsing, children, media types, gc labels.

Bytes come from registries and archives and are hostile: sizes and counts are bounded, and a document that could be read
as two different things is refused (that ambiguity was CVE-2021-41190).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.digest import validate_digest
from pycontainerd.core.errors import InvalidArgument, Unknown
from pycontainerd.core.values import Descriptor, Platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_DOCUMENT = 8 << 20
"""Largest manifest, index or config that is read, in bytes."""
MAX_CHILDREN = 8192
"""Most layers or manifests one document may list."""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
LEGACY_CONFIG = "application/octet-stream"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
ACCEPT = (DOCKER_MANIFEST, DOCKER_INDEX, OCI_MANIFEST, OCI_INDEX, "*/*")
"""What a registry is asked for."""

IMAGE_NAME = "io.containerd.image.name"
"""Annotation: the full name of the image in an archive."""
REF_NAME = "org.opencontainers.image.ref.name"
"""Annotation: the tag, or in older archives the whole name."""
UNCOMPRESSED = "containerd.io/uncompressed"
"""Label of a layer blob: its diff id."""
SOURCE_LABEL = "containerd.io/distribution.source."
"""Label prefix: the repositories of a registry host that have this blob."""
GC_CONTENT = "containerd.io/gc.ref.content."
GC_SNAPSHOT = "containerd.io/gc.ref.snapshot."

_OCI_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
)
_DOCKER_LAYERS = (DOCKER_LAYER, "application/vnd.docker.image.rootfs.foreign.diff.tar")


@dataclass(frozen=True, slots=True)
class Child:
    """What a manifest or index refers to."""

    descriptor: Descriptor
    platform: Platform | None = None
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: a config and layers, bottom first."""

    media_type: str
    config: Child
    layers: tuple[Child, ...]

    @property
    def children(self) -> tuple[Child, ...]:
        """The config, then the layers."""
        return (self.config, *self.layers)


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests (or of further indexes)."""

    media_type: str
    manifests: tuple[Child, ...]

    @property
    def children(self) -> tuple[Child, ...]:
        """The manifests."""
        return self.manifests


@dataclass(frozen=True, slots=True)
class Config:
    """What unpacking needs of an image config."""

    platform: Platform
    diff_ids: tuple[str, ...]


def is_layer(media_type: str) -> bool:
    """Whether the type is a layer of any kind, encrypted ones included."""
    return media_type.startswith((*_OCI_LAYERS, *_DOCKER_LAYERS))


def is_non_distributable(media_type: str) -> bool:
    """Whether the layer may not be passed on (Windows base layers)."""
    return media_type.startswith((_OCI_LAYERS[1], _DOCKER_LAYERS[1]))


def layer_compression(media_type: str) -> str:
    """``""`` for a plain tar, ``"auto"`` for one whose content tells how it is compressed.

    Docker's type without a suffix promises nothing: clients use it for compressed layers too.

    Raises Unknown for anything else: the contract leaves this error unmapped.
    """
    for base, separator in (
        (_OCI_LAYERS[0], "+"),
        (_OCI_LAYERS[1], "+"),
        (DOCKER_LAYER, "."),
        (_DOCKER_LAYERS[1], "."),
    ):
        if media_type == base:
            return "" if base in _OCI_LAYERS else "auto"
        if media_type in {f"{base}{separator}gzip", f"{base}{separator}zstd"}:
            return "auto"
    raise Unknown("no processor for media type", media_type)


def parse_document(data: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index; ``media_type`` is what its descriptor or the registry called it.

    Raises InvalidArgument when it is neither, both, malformed or too large.
    """
    document = _object(data, "manifest")
    stated = document.get("mediaType", "")
    if not isinstance(stated, str):
        raise InvalidArgument("manifest: mediaType is no string")
    if stated and media_type and media_type != stated and {media_type, stated} <= INDEXES | MANIFESTS:
        raise InvalidArgument("manifest", stated, f"it was announced as {media_type}")
    if document.get("schemaVersion") == 1 or media_type.startswith("application/vnd.docker.distribution.manifest.v1"):
        raise InvalidArgument("image manifest of schema 1", hint="it is no longer supported; push the image again")
    has_manifests, has_layers = "manifests" in document, "layers" in document or "config" in document
    if has_manifests and has_layers:
        raise InvalidArgument("manifest", hint="it claims to be an image and an index at once")
    kind = stated or media_type
    if kind in MANIFESTS or (kind not in INDEXES and has_layers):
        if has_manifests:
            raise InvalidArgument("manifest", kind, "it lists manifests like an index")
        return _manifest(document, kind if kind in MANIFESTS else OCI_MANIFEST)
    if kind in INDEXES or has_manifests:
        if has_layers:
            raise InvalidArgument("index", kind, "it lists layers like a manifest")
        children = _children(document.get("manifests"), "manifests")
        return Index(kind if kind in INDEXES else OCI_INDEX, children)
    raise InvalidArgument("image manifest", media_type or "no media type", "it lists neither layers nor manifests")


def _manifest(document: Mapping[str, object], media_type: str) -> Manifest:
    config = document.get("config")
    if not isinstance(config, dict):
        raise InvalidArgument("image manifest: it names no config")
    return Manifest(media_type, _child(config), _children(document.get("layers"), "layers"))


def parse_config(data: bytes) -> Config:
    """Read an image config. Raises InvalidArgument when it is malformed or too large."""
    document = _object(data, "image config")
    rootfs = document.get("rootfs")
    ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if ids is None:
        ids = []
    if not isinstance(ids, list) or len(ids) > MAX_CHILDREN or not all(isinstance(each, str) for each in ids):
        raise InvalidArgument("image config: rootfs.diff_ids is no list of digests")
    return Config(_platform(document), tuple(validate_digest(each) for each in ids))


def parse_descriptor(value: object) -> Child:
    """Read one descriptor. Raises InvalidArgument."""
    if not isinstance(value, dict):
        raise InvalidArgument("descriptor: no JSON object")
    return _child(value)


def load_json(data: bytes, what: str) -> object:
    """Bounded, strict JSON. Raises InvalidArgument naming ``what``."""
    if len(data) > MAX_DOCUMENT:
        raise InvalidArgument(what, hint=f"{len(data)} bytes, at most {MAX_DOCUMENT} are read")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidArgument(what, hint="it is no JSON document") from None


def _object(data: bytes, what: str) -> Mapping[str, object]:
    document = load_json(data, what)
    if not isinstance(document, dict):
        raise InvalidArgument(what, hint="it is no JSON object")
    return document


def _children(value: object, what: str) -> tuple[Child, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_CHILDREN:
        raise InvalidArgument("manifest", what, f"want a list of at most {MAX_CHILDREN} descriptors")
    return tuple(parse_descriptor(each) for each in value)


def _child(value: Mapping[str, object]) -> Child:
    media_type, digest, size = value.get("mediaType", ""), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not isinstance(digest, str):
        raise InvalidArgument("descriptor: it has no media type or digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidArgument("descriptor", digest[:80], "its size is missing or negative")
    platform = value.get("platform")
    urls = value.get("urls")
    return Child(
        Descriptor(media_type, validate_digest(digest), size, _strings(value.get("annotations"))),
        _platform(platform) if isinstance(platform, dict) else None,
        tuple(each for each in urls if isinstance(each, str)) if isinstance(urls, list) else (),
    )


def _platform(value: Mapping[str, object]) -> Platform:
    def text(key: str) -> str:
        found = value.get(key, "")
        return found if isinstance(found, str) else ""

    return Platform(text("os") or "linux", text("architecture"), text("variant"), text("os.version"))


def _strings(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        return ()
    return tuple((key, each) for key, each in value.items() if isinstance(each, str))


def child_labels(children: Iterable[Child]) -> dict[str, str]:
    """The gc labels by which a manifest or index keeps its children, named as containerd's clients name them."""
    labels: dict[str, str] = {}
    counts: dict[str, int] = {}
    for child in children:
        media_type = child.descriptor.media_type
        if media_type in MANIFESTS | INDEXES:
            prefix = "m."
        elif is_layer(media_type):
            prefix = "l."
        elif media_type in CONFIGS:
            prefix = "config"
        else:
            prefix = ""
        number = counts.get(prefix, 0)
        counts[prefix] = number + 1
        key = GC_CONTENT + (f"{prefix}{number}" if prefix != "config" else "config" + (f".{number}" if number else ""))
        labels[key] = child.descriptor.digest
    return labels


def descriptor_json(child: Child) -> dict[str, object]:
    """A descriptor as it stands in a manifest or index."""
    d = child.descriptor
    result: dict[str, object] = {"mediaType": d.media_type, "digest": d.digest, "size": d.size}
    if child.urls:
        result["urls"] = list(child.urls)
    if d.annotations:
        result["annotations"] = dict(d.annotations)
    if child.platform is not None and child.platform.architecture:
        p = child.platform
        platform = {"architecture": p.architecture, "os": p.os}
        if p.os_version:
            platform["os.version"] = p.os_version
        if p.variant:
            platform["variant"] = p.variant
        result["platform"] = platform
    return result


def dump_json(document: object) -> bytes:
    """Compact JSON, keys in the order given: the same document always has the same digest."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def ref_key(descriptor: Descriptor) -> str:
    """The ingest ref of a blob, as clients name theirs: ``layer-<digest>`` and so on."""
    media_type = descriptor.media_type
    if media_type in MANIFESTS:
        kind = "manifest"
    elif media_type in INDEXES:
        kind = "index"
    elif is_layer(media_type):
        kind = "layer"
    elif media_type in CONFIGS:
        kind = "config"
    else:
        kind = "unknown"
    return f"{kind}-{descriptor.digest}"
