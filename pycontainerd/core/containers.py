"""Containers: the durable record from which a task is made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.filters import ABSENT, map_field, text_field
from pycontainerd.core.identifiers import masked_labels, stored_labels, validate_identifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.filters import Adaptor
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


def validated(container: Container) -> Container:
    """The container as it is stored; raise InvalidArgument naming the field that is wrong."""
    validate_identifier(container.id, "container id")
    if not container.runtime:
        raise InvalidArgument("runtime name of container", container.id, "must not be empty")
    if container.snapshot_key and not container.snapshotter:
        raise InvalidArgument("snapshotter of container", container.id, "must be given along with a snapshot key")
    for name in container.extensions:
        if not name:
            raise InvalidArgument("extension name of container", container.id, "must not be empty")
    return replace(container, labels=stored_labels(container.labels))


def updated(old: Container, new: Container, paths: Sequence[str]) -> Container:
    """``old`` with the masked fields of ``new``; no mask replaces all that may change. Raises InvalidArgument.

    A container without a spec can be created but not updated, as peers have it.
    """
    if not paths:
        for what, before, after in (
            ("snapshotter", old.snapshotter, new.snapshotter),
            ("runtime name", old.runtime, new.runtime),
        ):
            if before != after:
                raise InvalidArgument(f"{what} of container", old.id, f"cannot be changed from {before!r} to {after!r}")
        paths = ("labels", "spec", "extensions", "image", "snapshotkey")
    result = replace(old, labels=masked_labels(old.labels, new.labels, paths))
    for path in paths:
        result = _masked(result, new, path)
    if result.spec is None:
        raise InvalidArgument("spec of container", old.id, "must be given")
    return validated(result)


def _masked(old: Container, new: Container, path: str) -> Container:
    head, dot, key = path.partition(".")
    if head == "labels":
        return old
    if head == "extensions":
        if not dot:
            return replace(old, extensions=dict(new.extensions))
        kept = {name: value for name, value in old.extensions.items() if name != key}
        return replace(old, extensions={**kept, key: new.extensions[key]} if key in new.extensions else kept)
    if path == "spec":
        return replace(old, spec=new.spec)
    if path == "image":
        return replace(old, image=new.image)
    if path == "snapshotkey":
        return replace(old, snapshot_key=new.snapshot_key)
    raise InvalidArgument(
        "update mask path", path, "want labels[.<key>], spec, extensions[.<key>], image or snapshotkey"
    )


def adaptor(container: Container) -> Adaptor:
    """The fields filters see: id, runtime.name, image, labels."""

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        head = path[0]
        if head == "id":
            return text_field(container.id)
        if head == "image":
            return text_field(container.image)
        if head == "labels":
            return map_field(container.labels, path[1:])
        return text_field(container.runtime) if tuple(path) == ("runtime", "name") else ABSENT

    return field_of


class ContainerStore(Protocol):
    """Container records by namespace; publishes /containers/create, update and delete."""

    def get(self, namespace: str, id: str) -> Container: ...

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Container]: ...

    def create(self, namespace: str, container: Container, *, lease: str = "") -> Container: ...

    def update(self, namespace: str, container: Container, paths: Sequence[str] = ()) -> Container: ...

    def delete(self, namespace: str, id: str) -> None: ...
