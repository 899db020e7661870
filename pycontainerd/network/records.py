"""Container records and names whose network goes with them: what clients see in place of the plain stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core.network_request import sandbox_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.containers import Container, ContainerStore
    from pycontainerd.core.names import Name, NameStore
    from pycontainerd.core.network import SandboxEngine


class NetworkedContainers:
    """``core.containers.ContainerStore`` over another: bad extensions are refused, addresses end with the record."""

    def __init__(self, containers: ContainerStore, network: SandboxEngine) -> None:
        self._containers, self._network = containers, network

    def get(self, namespace: str, id: str) -> Container:
        """Raises NotFound."""
        return self._containers.get(namespace, id)

    def list(self, namespace: str, filters: Sequence[str] = ()) -> Sequence[Container]:
        """Raises InvalidArgument."""
        return self._containers.list(namespace, filters)

    def create(self, namespace: str, container: Container, *, lease: str = "") -> Container:
        """As the other store; raises InvalidArgument also for an extension that cannot be understood."""
        sandbox_request(container)
        return self._containers.create(namespace, container, lease=lease)

    def update(self, namespace: str, container: Container, paths: Sequence[str] = ()) -> Container:
        """As the other store; what a changed extension says counts for containers that were never started."""
        sandbox_request(container)
        return self._containers.update(namespace, container, paths)

    def delete(self, namespace: str, id: str) -> None:
        """As the other store; then the addresses are free. A crash in between is made good at the next start."""
        self._containers.delete(namespace, id)
        self._network.remove(namespace, id)


class NetworkedNames:
    """``core.names.NameStore`` over another: networks call a container by its new name at once."""

    def __init__(self, names: NameStore, network: SandboxEngine) -> None:
        self._names, self._network = names, network

    def reserve(self, namespace: str, names: Sequence[str], container: str) -> str:
        """Raises AlreadyExists, InvalidArgument."""
        return self._names.reserve(namespace, names, container)

    def release(self, namespace: str, name: str, container: str) -> None:
        """As the other store."""
        self._names.release(namespace, name, container)

    def resolve(self, namespace: str, reference: str) -> tuple[str, str]:
        """Raises NotFound, InvalidArgument."""
        return self._names.resolve(namespace, reference)

    def rename(self, namespace: str, container: str, name: str) -> str:
        """As the other store, which notes it for the sandbox; then those who answer for the name are told."""
        old = self._names.rename(namespace, container, name)
        self._network.renamed(namespace, container)
        return old

    def list(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[Name]:
        """As the other store."""
        return self._names.list(namespace, containers)
