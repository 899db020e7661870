"""Labels that a container got from its image are not orders of whoever made the container.

Clients of containerd copy an image's labels to the container's record. Among the labels that the daemon obeys,
``containerd.io/restart.*`` start containers again and name a file, or a program of the host, for their output: an image
that brings them would run what it likes as root. So a restart label with the very value that the image has is dropped
when the record is made; a user who wants it says so with another client, in other words, or afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import DataLoss, InvalidArgument, NotFound
from pycontainerd.core.manifest import MAX_DOCUMENT, Manifest, load_json, parse_document
from pycontainerd.core.restart import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainerd.core.containers import Container
    from pycontainerd.core.content import ContentStore
    from pycontainerd.core.images import ImageStore
    from pycontainerd.core.values import Descriptor

_MOST = 64
"""Manifests looked at; an index of more platforms than that is none."""
_log = structlog.get_logger(__name__)


class LabelScreen:
    """Looks at new container records. Reads blobs only when a record has a restart label at all."""

    def __init__(self, images: ImageStore, content: ContentStore) -> None:
        self._images, self._content = images, content

    def __call__(self, namespace: str, container: Container) -> Container:
        """The record without restart labels that are its image's."""
        if not any(key.startswith(PREFIX) for key in container.labels):
            return container
        brought = set(self._restart_labels(namespace, container.image))
        kept = {key: value for key, value in container.labels.items() if (key, value) not in brought}
        if len(kept) < len(container.labels):
            _log.warning("restart labels of an image are not obeyed", namespace=namespace, image=container.image)
        return replace(container, labels=kept)

    def _restart_labels(self, namespace: str, name: str) -> Iterator[tuple[str, str]]:
        try:
            pending = [self._images.get(namespace, name).target]
        except NotFound:
            return
        for _ in range(_MOST):
            if not pending:
                return
            try:
                yield from self._of(namespace, pending.pop(), pending)
            except (NotFound, InvalidArgument, DataLoss):
                continue  # a platform that is not here, or a document that nobody can run

    def _of(self, namespace: str, descriptor: Descriptor, pending: list[Descriptor]) -> Iterator[tuple[str, str]]:
        document = parse_document(self._content.read(namespace, descriptor.digest, MAX_DOCUMENT), descriptor.media_type)
        if not isinstance(document, Manifest):
            pending += [child.descriptor for child in document.manifests]
            return
        digest = document.config.descriptor.digest
        config = load_json(self._content.read(namespace, digest, MAX_DOCUMENT), "image config")
        inner = config.get("config") if isinstance(config, dict) else None
        labels = inner.get("Labels") if isinstance(inner, dict) else None
        for key, value in (labels if isinstance(labels, dict) else {}).items():
            if key.startswith(PREFIX):
                yield key, str(value)
