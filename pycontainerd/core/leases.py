"""Leases: what keeps resources while nothing else refers to them yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


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


class LeaseStore(Protocol):
    """Leases by namespace."""

    def create(self, namespace: str, id: str, labels: Mapping[str, str]) -> Lease: ...

    def delete(self, namespace: str, id: str, *, sync: bool = False) -> None: ...

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Lease]: ...

    def add_resource(self, namespace: str, id: str, resource: LeaseResource) -> None: ...

    def delete_resource(self, namespace: str, id: str, resource: LeaseResource) -> None: ...

    def list_resources(self, namespace: str, id: str) -> Sequence[LeaseResource]: ...
