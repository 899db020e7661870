"""Namespaces: isolation of names, made by the first write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace and its labels (defaults such as ``containerd.io/defaults/snapshotter``)."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


class NamespaceStore(Protocol):
    """All namespaces; publishes /namespaces/create, update, delete in the namespace concerned."""

    def get(self, name: str) -> Namespace:
        """The namespace; an unknown name answers as an empty one, as peers do."""

    def list(self, filter: str = "") -> Sequence[Namespace]: ...

    def create(self, namespace: Namespace) -> Namespace: ...

    def update(self, namespace: Namespace, paths: Sequence[str] = ()) -> Namespace: ...

    def delete(self, name: str) -> None:
        """Raises FailedPrecondition naming what is still in it, NotFound."""
