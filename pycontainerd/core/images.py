"""Images: names for content descriptors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.values import Descriptor


@dataclass(frozen=True, slots=True)
class Image:
    """A named target, the root of everything its references keep."""

    name: str
    target: Descriptor
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


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
