"""Exporting images as one tar that is an OCI layout and a docker archive at once.

Members come in a fixed order with fixed times: the same images always give the same archive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pycontainerd.core.digest import split_digest
from pycontainerd.core.errors import InvalidArgument, NotFound
from pycontainerd.core.manifest import (
    CONFIGS,
    IMAGE_NAME,
    MAX_DOCUMENT,
    OCI_INDEX,
    REF_NAME,
    SOURCE_LABEL,
    Child,
    Manifest,
    descriptor_json,
    dump_json,
    is_non_distributable,
    parse_config,
    parse_document,
)
from pycontainerd.core.platforms import rank
from pycontainerd.core.reference import familiar, parse
from pycontainerd.images.tarreader import DIRECTORY, REGULAR
from pycontainerd.images.tarwriter import END, member, padding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.content import ContentStore
    from pycontainerd.core.images import Image
    from pycontainerd.core.transfer import ExportOptions, Writer
    from pycontainerd.core.values import Descriptor, Platform

_PIECE = 1 << 20


@dataclass(slots=True)
class _Plan:
    """What goes in: blobs in order, the entries of index.json, and those of docker's manifest.json by their name."""

    blobs: dict[str, int]
    index: list[object]
    docker: dict[str, dict[str, object]]


class Exporter:
    """One export from a namespace; ``host`` is the platform that docker's part is for when none is asked."""

    def __init__(self, content: ContentStore, namespace: str, host: Platform, options: ExportOptions) -> None:
        self._content, self._namespace, self._host, self._options = content, namespace, host, options

    def run(self, images: Sequence[Image], stream: Writer) -> None:
        """Write the archive. Raises NotFound when a blob of a wanted platform is missing, before a byte is written."""
        plan = _Plan({}, [], {})
        for image in images:
            self._plan(plan, image)
        if not plan.index:
            raise NotFound("image to export")
        self._write(plan, stream)

    # -- deciding --

    def _plan(self, plan: _Plan, image: Image) -> None:
        labels = self._content.info(self._namespace, image.target.digest).labels
        sources = {key: value for key, value in labels.items() if key.startswith(SOURCE_LABEL)}
        annotations = dict(image.target.annotations) | sources | {IMAGE_NAME: image.name}
        tag = _tag(image.name)
        if tag:
            annotations[REF_NAME] = tag
        target = replace(image.target, annotations=tuple(annotations.items()))
        plan.index.append(descriptor_json(Child(target)))
        found: list[tuple[int, Descriptor, Manifest]] = []
        self._visit(plan, image.target, None, found, set())
        if not found:
            raise NotFound("image", image.name, "nothing of it for these platforms is here")
        if not self._options.skip_compatibility_manifest:
            _, _, best = min(found, key=lambda each: each[0])
            self._plan_docker(plan, best, image.name)

    def _visit(
        self,
        plan: _Plan,
        descriptor: Descriptor,
        platform: Platform | None,
        found: list[tuple[int, Descriptor, Manifest]],
        seen: set[str],
    ) -> None:
        """Collect what an image consists of, as far as its platforms are wanted."""
        if descriptor.digest in seen:
            return
        seen.add(descriptor.digest)
        document = parse_document(
            self._content.read(self._namespace, descriptor.digest, MAX_DOCUMENT), descriptor.media_type
        )
        if not isinstance(document, Manifest):
            plan.blobs[descriptor.digest] = descriptor.size
            for child in self._wanted(document.manifests):
                self._visit(plan, child.descriptor, child.platform, found, seen)
            return
        for child in document.children:
            if self._options.skip_non_distributable and is_non_distributable(child.descriptor.media_type):
                continue
            plan.blobs[child.descriptor.digest] = self._content.info(self._namespace, child.descriptor.digest).size
        plan.blobs[descriptor.digest] = descriptor.size
        place = rank(platform or self._platform(document) or self._host, [self._host])
        found.append((1 << 16 if place is None else place, descriptor, document))

    def _platform(self, manifest: Manifest) -> Platform | None:
        if manifest.config.descriptor.media_type not in CONFIGS:
            return None
        data = self._content.read(self._namespace, manifest.config.descriptor.digest, MAX_DOCUMENT)
        return parse_config(data).platform

    def _wanted(self, children: Sequence[Child]) -> list[Child]:
        """Of an index: the platforms asked for; the host's when none is; else whatever is here."""
        if self._options.all_platforms:
            return list(children)
        if self._options.platforms:
            return [c for c in children if c.platform is None or rank(c.platform, self._options.platforms) is not None]
        here = [child for child in children if self._is_here(child)]
        ours = [child for child in here if child.platform and rank(child.platform, [self._host]) is not None]
        return ours or here

    def _is_here(self, child: Child) -> bool:
        try:
            document = parse_document(
                self._content.read(self._namespace, child.descriptor.digest, MAX_DOCUMENT), child.descriptor.media_type
            )
            if isinstance(document, Manifest):
                for each in document.children:
                    self._content.info(self._namespace, each.descriptor.digest)
        except NotFound:
            return False
        return True

    def _plan_docker(self, plan: _Plan, manifest: Manifest, name: str) -> None:
        """An entry of manifest.json; names of the same image share one."""
        if manifest.config.descriptor.media_type not in CONFIGS:
            return
        config = _path(manifest.config.descriptor.digest)
        layers = [_path(layer.descriptor.digest) for layer in manifest.layers]
        entry = plan.docker.setdefault(config, {"Config": config, "RepoTags": [], "Layers": layers})
        tags = entry["RepoTags"]
        assert isinstance(tags, list)
        if _tag(name):
            tags.append(familiar(parse(name)))

    # -- writing --

    def _write(self, plan: _Plan, stream: Writer) -> None:
        _file(stream, "oci-layout", dump_json({"imageLayoutVersion": "1.0.0"}))
        algorithms = sorted({split_digest(digest)[0] for digest in plan.blobs})
        for name in ("blobs", *(f"blobs/{algorithm}" for algorithm in algorithms)):
            stream.write(member(f"{name}/".encode(), DIRECTORY, mode=0o755))
        for digest in sorted(plan.blobs):
            self._blob(digest, stream)
        _file(stream, "index.json", dump_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": plan.index}))
        if plan.docker:
            _file(stream, "manifest.json", dump_json(list(plan.docker.values())))
        stream.write(END)

    def _blob(self, digest: str, stream: Writer) -> None:
        with self._content.open(self._namespace, digest) as blob:
            stream.write(member(_path(digest).encode(), REGULAR, mode=0o444, size=blob.size))
            offset = 0
            while offset < blob.size:
                data = blob.pread(min(_PIECE, blob.size - offset), offset)
                if not data:
                    raise NotFound("content", digest, "its file ends early")
                stream.write(data)
                offset += len(data)
            stream.write(padding(blob.size))


def _file(stream: Writer, name: str, data: bytes) -> None:
    stream.write(member(name.encode(), REGULAR, mode=0o444, size=len(data)) + data + padding(len(data)))


def _path(digest: str) -> str:
    algorithm, encoded = split_digest(digest)
    return f"blobs/{algorithm}/{encoded}"


def _tag(name: str) -> str:
    """The tag of an image's name, if it has the form of a reference."""
    try:
        return parse(name).tag
    except InvalidArgument:
        return ""
