"""Namespaces: isolation of names, made by the first write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pycontainerd.core.filters import ABSENT, map_field, text_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.core.filters import Adaptor


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace and its labels (defaults such as ``containerd.io/defaults/snapshotter``)."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


def adaptor(namespace: Namespace) -> Adaptor:
    """The fields filters see: name, labels."""

    def field_of(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] == "name":
            return text_field(namespace.name)
        return map_field(namespace.labels, path[1:]) if path[0] == "labels" else ABSENT

    return field_of


class NamespaceStore(Protocol):
    """All namespaces; publishes /namespaces/create, update, delete in the namespace concerned."""

    def get(self, name: str) -> Namespace:
        """The namespace; an unknown name answers as an empty one, as peers do."""

    def list(self, filter: str = "") -> Sequence[Namespace]: ...

    def create(self, namespace: Namespace) -> Namespace: ...

    def update(self, namespace: Namespace, paths: Sequence[str] = ()) -> Namespace: ...

    def delete(self, name: str) -> None:
        """Raises FailedPrecondition naming what is still in it, NotFound."""
