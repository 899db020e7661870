"""Images: names for content descriptors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.digest import validate_digest
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.filters import ABSENT, map_field, text_field
from pycontainerd.core.identifiers import masked_labels, stored_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.filters import Adaptor
    from pycontainerd.core.values import Descriptor


@dataclass(frozen=True, slots=True)
class Image:
    """A named target, the root of everything its references keep."""

    name: str
    target: Descriptor
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


def validated(image: Image) -> Image:
    """The image as it is stored; raise InvalidArgument for an empty name, a bad target or a label that is too long."""
    if not image.name:
        raise InvalidArgument("image name must not be empty")
    validate_digest(image.target.digest)
    if image.target.size <= 0:
        raise InvalidArgument("size of the target of image", image.name, "must be greater than 0")
    if not image.target.media_type:
        raise InvalidArgument("media type of the target of image", image.name, "must not be empty")
    return replace(image, labels=stored_labels(image.labels))


def updated(old: Image, new: Image, paths: Sequence[str]) -> Image:
    """``old`` with the masked fields of ``new``; no mask replaces labels and target. Raises InvalidArgument."""
    if not paths:
        return validated(replace(old, labels=new.labels, target=new.target))
    result = replace(old, labels=masked_labels(old.labels, new.labels, paths))
    annotations = dict(old.target.annotations)
    for path in paths:
        head, dot, key = path.partition(".")
        if path == "target":
            result = replace(result, target=new.target)
            annotations = dict(new.target.annotations)
        elif head == "annotations":
            annotations = _annotated(annotations, dict(new.target.annotations), key if dot else "")
            result = replace(result, target=replace(result.target, annotations=tuple(annotations.items())))
        elif head != "labels":
            raise InvalidArgument("update mask path", path, "want labels, labels.<key>, target or annotations[.<key>]")
    return validated(result)


def _annotated(old: dict[str, str], new: dict[str, str], key: str) -> dict[str, str]:
    if not key:
        return new
    if key in new:
        return {**old, key: new[key]}
    return {name: value for name, value in old.items() if name != key}


def adaptor(image: Image) -> Adaptor:
    """The fields filters see: name, target.digest, target.mediatype, labels, annotations."""

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        head, rest = path[0], path[1:]
        if head == "name":
            return text_field(image.name)
        if head == "labels":
            return map_field(image.labels, rest)
        if head == "annotations":
            return map_field(dict(image.target.annotations), rest)
        if head == "target" and rest:
            fields = {"digest": image.target.digest, "mediatype": image.target.media_type}
            return text_field(fields[rest[0]]) if rest[0] in fields else ABSENT
        return ABSENT

    return field_of


class ImageStore(Protocol):
    """Image records by namespace; publishes /images/create, update and delete."""

    def get(self, namespace: str, name: str) -> Image: ...

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Image]: ...

    def create(self, namespace: str, image: Image, *, at: datetime | None = None, lease: str = "") -> Image:
        """Raises AlreadyExists; InvalidArgument for an empty name or a bad target. ``at`` replaces the clock."""

    def update(self, namespace: str, image: Image, paths: Sequence[str] = (), *, at: datetime | None = None) -> Image:
        """Replace the masked fields (labels, labels.<k>, target, annotations, annotations.<k>); no mask: all."""

    def delete(self, namespace: str, name: str, *, target: str = "", sync: bool = False) -> None:
        """Delete, only while it points at ``target`` when given; ``sync`` waits for the collection. Raises NotFound."""
