"""Who joins and leaves networks, told as Docker's events: a container is on them from its start to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core import happenings
from pycontainerd.core.errors import PycontainerdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pycontainerd.core.happenings import Tell
    from pycontainerd.core.network import Endpoint, Network, Sandbox

    Lookup = Callable[[Sandbox], Mapping[str, Network]]


class NetworkTeller:
    """A ``core.network.SandboxWatcher``. ``networks`` tells what a sandbox is on, by id; ``active`` are the sandboxes
    that an earlier daemon told of, so that a restart repeats nothing.
    """

    def __init__(self, tell: Tell, networks: Lookup, active: Iterable[Sandbox]) -> None:
        self._tell, self._networks = tell, networks
        self._on = {sandbox.key: {item.id: item for item in sandbox.endpoints} for sandbox in active}
        self._drivers: dict[str, str] = {}

    def sandbox_up(self, sandbox: Sandbox) -> None:
        """Tell of the endpoints that are new or gone since it was told of last."""
        before = self._on.get(sandbox.key, {})
        after = {item.id: item for item in sandbox.endpoints}
        self._on[sandbox.key] = after
        self._learn(sandbox)
        self._told("disconnect", sandbox.key, (item for key, item in before.items() if key not in after))
        self._told("connect", sandbox.key, (item for key, item in after.items() if key not in before))

    def sandbox_down(self, sandbox: Sandbox) -> None:
        """Tell that it leaves all its networks."""
        self._learn(sandbox)
        self._told("disconnect", sandbox.key, self._on.pop(sandbox.key, {}).values())

    def recovered(self, sandboxes: Sequence[Sandbox]) -> None:
        """Tell of those that ended while no daemon was there."""
        for key in self._on.keys() - {sandbox.key for sandbox in sandboxes}:
            self._told("disconnect", key, self._on.pop(key).values())

    def _learn(self, sandbox: Sandbox) -> None:
        """Note the drivers of its networks while they are there: one may be gone when it is told that it was left."""
        if any(item.network not in self._drivers for item in sandbox.endpoints):
            try:
                found = self._networks(sandbox)
            except PycontainerdError:  # one of them is being removed
                return
            self._drivers.update((network.id, network.driver) for network in found.values())

    def _told(self, action: str, key: tuple[str, str], endpoints: Iterable[Endpoint]) -> None:
        namespace, container = key
        for item in endpoints:
            driver = self._drivers.get(item.network, "")
            message = happenings.network(action, item.network, item.network_name, driver, container=container)
            self._tell(namespace, message)
