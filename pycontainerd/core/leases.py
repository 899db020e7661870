"""Leases: what keeps resources while nothing else refers to them yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.digest import validate_digest
from pycontainerd.core.errors import InvalidArgument, Unimplemented
from pycontainerd.core.filters import ABSENT, map_field, text_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.filters import Adaptor


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease; label ``containerd.io/gc.expire`` (RFC 3339) ends it."""

    id: str
    created_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeaseResource:
    """A thing a lease holds: type ``content``, ``ingests``, ``images`` or ``snapshots/<snapshotter>``, and its id."""

    type: str
    id: str


def validate_resource(resource: LeaseResource) -> LeaseResource:
    """Return the resource when its type is known and its id fits; raise Unimplemented (type), InvalidArgument (id)."""
    kind, slash, snapshotter = resource.type.partition("/")
    if kind == "snapshots":
        if not snapshotter:
            raise InvalidArgument("lease resource type", resource.type, "want snapshots/<snapshotter>")
    elif slash or kind not in {"content", "ingests", "images"}:
        raise Unimplemented("lease resource type", resource.type)
    if kind == "content":
        validate_digest(resource.id)
    if not resource.id:
        raise InvalidArgument("lease resource id must not be empty")
    return resource


def adaptor(lease: Lease) -> Adaptor:
    """The fields filters see: id, labels."""

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] == "id":
            return text_field(lease.id)
        return map_field(lease.labels, path[1:]) if path[0] == "labels" else ABSENT

    return field_of


class LeaseStore(Protocol):
    """Leases by namespace."""

    def create(self, namespace: str, id: str, labels: Mapping[str, str]) -> Lease: ...

    def delete(self, namespace: str, id: str, *, sync: bool = False) -> None: ...

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Lease]: ...

    def add_resource(self, namespace: str, id: str, resource: LeaseResource) -> None: ...

    def delete_resource(self, namespace: str, id: str, resource: LeaseResource) -> None: ...

    def list_resources(self, namespace: str, id: str) -> Sequence[LeaseResource]: ...
