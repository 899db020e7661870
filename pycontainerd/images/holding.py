"""What all transfers share: a lease around the work, and images stored under their names."""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pycontainerd.core.content import ContentInfo
from pycontainerd.core.errors import AlreadyExists, NotFound
from pycontainerd.core.images import Image
from pycontainerd.core.manifest import SOURCE_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pycontainerd.core.content import ContentStore
    from pycontainerd.core.images import ImageStore
    from pycontainerd.core.leases import LeaseStore
    from pycontainerd.core.values import Descriptor

EXPIRE = "containerd.io/gc.expire"
LIFETIME = timedelta(hours=24)
"""How long a transfer's lease lives should nobody ever take it away."""
IMPORT = "import-"
"""What the refs of imports begin with."""
_OWN = "transfer-"
_OWN_LEASE = re.compile(rf"{_OWN}[0-9a-f]{{16}}\Z")


@contextmanager
def leased(leases: LeaseStore, namespace: str, lease: str) -> Iterator[str]:
    """The caller's lease, or one of our own that goes when the work is done."""
    if lease:
        yield lease
        return
    until = (datetime.now(UTC) + LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
    own = leases.create(namespace, f"{_OWN}{secrets.token_hex(8)}", {EXPIRE: until}).id
    try:
        yield own
    finally:
        with suppress(NotFound):
            leases.delete(namespace, own)


def forget_dead(leases: LeaseStore, content: ContentStore, namespaces: Iterable[str]) -> int:
    """At the start of a daemon: give up what transfers of the last one held; return how many leases that were.

    They died with it. What a pull had fetched goes at the next collection, its unfinished blobs stay to be resumed;
    those of an import nobody can take up.
    """
    count = 0
    for namespace in namespaces:
        for lease in leases.list(namespace):
            if _OWN_LEASE.match(lease.id) and EXPIRE in lease.labels:
                leases.delete(namespace, lease.id)
                count += 1
        for ingest in content.statuses(namespace):
            if ingest.ref.startswith(IMPORT):
                content.abort(namespace, ingest.ref)
    return count


def store_images(
    images: ImageStore, namespace: str, names: Sequence[str], target: Descriptor, labels: Mapping[str, str], lease: str
) -> list[Image]:
    """Point every name at ``target``, whether it existed or not."""
    return [_store(images, namespace, Image(name, target, labels), lease) for name in names]


def _store(images: ImageStore, namespace: str, image: Image, lease: str) -> Image:
    while True:
        try:
            return images.create(namespace, image, lease=lease)
        except AlreadyExists:
            with suppress(NotFound):  # deleted in between: create it after all
                return images.update(namespace, image)


def add_labels(content: ContentStore, namespace: str, digest: str, labels: Mapping[str, str]) -> None:
    """Set labels on a blob that is here, unless it has them; sources are joined to those known before."""
    have = content.info(namespace, digest).labels
    wanted = {key: joined(have.get(key, ""), value) if key.startswith(SOURCE_LABEL) else value
              for key, value in labels.items()}  # fmt: skip
    missing = {key: value for key, value in wanted.items() if have.get(key) != value}
    if missing:
        info = ContentInfo(digest, labels=missing)
        content.update(namespace, info, [f"labels.{key}" for key in missing])


def joined(old: str, new: str) -> str:
    """A repository added to a comma-separated list of them; a list that would get too long stays as it is."""
    names = sorted({*filter(None, old.split(",")), new})
    text = ",".join(names)
    return text if len(text) < 3500 else old


def without_annotations(descriptor: Descriptor) -> Descriptor:
    """The bare descriptor."""
    return replace(descriptor, annotations=())
