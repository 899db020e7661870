"""Containers: the durable record from which a task is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.values import AnyValue


@dataclass(frozen=True, slots=True)
class Container:
    """A container record. ``spec`` is the OCI runtime spec as JSON in an Any and is written verbatim to the bundle."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    runtime: str = ""
    runtime_options: AnyValue | None = None
    spec: AnyValue | None = None
    snapshotter: str = ""
    snapshot_key: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    extensions: Mapping[str, AnyValue] = field(default_factory=dict)
    sandbox: str = ""


class ContainerStore(Protocol):
    """Container records by namespace; publishes /containers/create, update and delete."""

    def get(self, namespace: str, id: str) -> Container: ...

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Container]: ...

    def create(self, namespace: str, container: Container, *, lease: str = "") -> Container: ...

    def update(self, namespace: str, container: Container, paths: Sequence[str] = ()) -> Container: ...

    def delete(self, namespace: str, id: str) -> None: ...
