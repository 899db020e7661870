"""Networks: making, listing and removing them, and moving containers on and off while they run.

``core.network.NetworkEngine``. The order of steps is what makes a killed daemon harmless: rows first when something is
made, kernel first when something goes, so that what the kernel holds always has a row, and the next start
(``sandboxes.Sandboxes.recover``) completes whatever the rows say.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pycontainerd.core import happenings
from pycontainerd.core.errors import AlreadyExists, FailedPrecondition, NotFound, PycontainerdError
from pycontainerd.core.happenings import untold
from pycontainerd.core.ipam import check_subnet, choose_subnet, overlap
from pycontainerd.core.network import (
    DEFAULT_NETWORK,
    Endpoint,
    Network,
    NetworkSpec,
    NetworkView,
    Sandbox,
    Subnet,
)
from pycontainerd.core.network_plan import BRIDGE, LINK_PREFIX, port_target, publish_ops, route_op
from pycontainerd.core.network_request import check_endpoint, check_spec, sandbox_request
from pycontainerd.core.ports import sockets_for
from pycontainerd.core.settings import NAME_LABEL
from pycontainerd.network.client import AgentError
from pycontainerd.network.ground import owner_of, quietly
from pycontainerd.wire import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.happenings import Tell
    from pycontainerd.core.ipam import Pool
    from pycontainerd.core.network import EndpointRequest
    from pycontainerd.network.ground import Ground


class Networks:
    """The engine. ``pools`` are for networks that name no subnet, ``default_subnet`` for the default network."""

    def __init__(
        self,
        ground: Ground,
        containers: ContainerStore,
        pools: Sequence[Pool],
        default_subnet: str = "",
        *,
        tell: Tell = untold,
    ) -> None:
        self._ground, self._containers, self._tell = ground, containers, tell
        self._pools, self._default_subnet = pools, default_subnet

    # Looking

    def list(self, namespace: str) -> Sequence[NetworkView]:
        """The networks of a namespace, by name."""
        return [self._view(network) for network in self._ground.store.list(namespace)]

    def get(self, namespace: str, key: str) -> NetworkView:
        """Raises NotFound, InvalidArgument."""
        return self._view(self._ground.store.get(namespace, key))

    def _view(self, network: Network) -> NetworkView:
        return NetworkView(network, tuple(self._ground.store.endpoints(network)), self._ground.warnings(network))

    def sandboxes(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[Sandbox]:
        """The sandboxes of the named containers, or of all that have one."""
        if containers:
            found = [self._ground.store.sandbox(namespace, container) for container in containers]
            return [sandbox for sandbox in found if sandbox is not None]
        return self._ground.store.sandboxes(namespace)

    # Making and removing

    def create(self, namespace: str, spec: NetworkSpec) -> NetworkView:
        """Make a network; it is up when this returns.

        Raises InvalidArgument, AlreadyExists, FailedPrecondition (overlap, link taken), ResourceExhausted (pools).
        """
        spec = check_spec(spec)
        with self._ground.lock:
            network = Network(
                namespace,
                secrets.token_hex(32),
                spec.name,
                spec.driver or BRIDGE,
                spec.subnets,
                spec.options,
                spec.labels,
                spec.internal,
                spec.ipv6,
            )
            driver = self._ground.driver(network)
            driver.validate(network)
            network = replace(driver.complete(network), link=driver.link(network))
            if any(other.name == spec.name for other in self._ground.store.list(namespace)):
                raise AlreadyExists("network", spec.name)
            return self._establish(network)

    def ensure_default(self, namespace: str) -> Network:
        """The default network of a namespace, made if it is not there. Raises ResourceExhausted, AgentError."""
        with self._ground.lock:
            with contextlib.suppress(NotFound):
                return self._ground.store.get(namespace, DEFAULT_NETWORK)
            subnets: tuple[Subnet, ...] = ()
            taken = self._ground.taken()
            if self._default_subnet and not overlap(self._default_subnet, taken):
                subnets = (check_subnet(Subnet(self._default_subnet)),)
            key = secrets.token_hex(32)
            network = Network(namespace, key, DEFAULT_NETWORK, BRIDGE, subnets, link=self._free_link())
            return self._establish(network).network

    def _free_link(self) -> str:
        (links,) = self._ground.agent.run({"op": "links"})
        used = {link["name"] for link in links} | {network.link for network in self._ground.store.list()}
        number = 0
        while f"{LINK_PREFIX}{number}" in used:
            number += 1
        return f"{LINK_PREFIX}{number}"

    def _establish(self, network: Network) -> NetworkView:
        """Complete the subnets, write the row, make it so; nothing is left when that fails."""
        taken = self._ground.taken()
        warnings = [
            f"subnet {subnet.cidr} covers {route}, to which this host has a route already"
            for subnet in network.subnets
            if (route := overlap(subnet.cidr, taken)) != ""
        ]
        network = replace(network, subnets=self._subnets(network, taken), created_at=datetime.now(UTC))
        self._ground.store.create(network)
        failpoint.hit("network.create.rows")
        try:
            self._ground.bring_up(network)
        except BaseException as error:
            with quietly("network is not taken back", network=network.name):
                self._ground.take_down(network)
            self._ground.store.delete(network)
            if isinstance(error, AgentError) and error.number == errno.EEXIST:
                raise AlreadyExists("interface", network.link, error.reason) from error
            raise
        failpoint.hit("network.create.kernel")
        self._tell(network.namespace, happenings.network("create", network.id, network.name, network.driver))
        view = self._view(network)
        return replace(view, warnings=(*warnings, *view.warnings))

    def _subnets(self, network: Network, taken: Iterable[str]) -> tuple[Subnet, ...]:
        """The subnets asked for, and one from the pools for a family that has none."""
        wanted = {4, 6} if network.ipv6 else {4}
        if not self._ground.driver(network).needs_subnets:
            wanted = set()
        missing = sorted(wanted - {subnet.version for subnet in network.subnets})
        chosen = (check_subnet(Subnet(choose_subnet(self._pools, taken, version))) for version in missing)
        return tuple(sorted((*network.subnets, *chosen), key=lambda subnet: subnet.version))

    def delete(self, namespace: str, key: str, *, force: bool = False) -> None:
        """Remove a network nobody is on; ``force`` takes containers that do not run off it first.

        Raises NotFound, FailedPrecondition naming the containers.
        """
        with self._ground.lock:
            network = self._ground.store.get(namespace, key)
            if network.default:
                raise FailedPrecondition("network", network.name, "is the default network, which is not removed")
            if force:
                self._evict(network)
            self._remove(self._ground.store.begin_delete(network))

    def _evict(self, network: Network) -> None:
        for endpoint in self._ground.store.endpoints(network):
            sandbox = self._ground.store.sandbox(endpoint.namespace, endpoint.container)
            if sandbox is None or not sandbox.active:
                self._ground.store.disconnect(endpoint)

    def _remove(self, network: Network) -> None:
        failpoint.hit("network.remove.marked")
        self._ground.take_down(network)
        failpoint.hit("network.remove.kernel")
        self._ground.store.delete(network)
        failpoint.hit("network.remove.rows")
        self._tell(network.namespace, happenings.network("destroy", network.id, network.name, network.driver))

    def prune(self, namespace: str, keep: Callable[[Network], bool]) -> Sequence[str]:
        """Remove the networks nobody is on, but the default one and those to ``keep``; return their names."""
        removed = []
        with self._ground.lock:
            for network in self._ground.store.list(namespace):
                if network.default or keep(network) or self._ground.store.endpoints(network):
                    continue
                self._remove(self._ground.store.begin_delete(network))
                removed.append(network.name)
        return removed

    # Containers on and off

    def connect(self, namespace: str, key: str, container: str, request: EndpointRequest) -> Endpoint:
        """Put a container on a network, at once when it runs, else from its next start.

        Raises NotFound, AlreadyExists (it is on it), FailedPrecondition (host network, address taken),
        ResourceExhausted, InvalidArgument.
        """
        with self._ground.lock:
            sandbox = self._sandbox(namespace, container)
            network = (
                self.ensure_default(namespace) if key == DEFAULT_NETWORK else self._ground.store.get(namespace, key)
            )
            request = check_endpoint(replace(request, network=network.id))
            check_explicit(network, request)
            link = new_link() if sandbox.active else ""
            endpoint = self._ground.store.connect(sandbox, request, link)
            failpoint.hit("network.connect.rows")
            if sandbox.active:
                self._join(sandbox, network, endpoint)
            return endpoint

    def _sandbox(self, namespace: str, container: str) -> Sandbox:
        """The sandbox of a container that may join networks."""
        record = self._containers.get(namespace, container)
        request = sandbox_request(record)
        if request is None:
            hint = "its network is not this daemon's: it was created without the network extension"
            raise FailedPrecondition("container", container, hint)
        if request.mode in {"host", "container"}:
            hint = f"it runs in network mode {request.mode} and cannot join networks"
            raise FailedPrecondition("container", container, hint)
        if any(item.network == DEFAULT_NETWORK for item in request.endpoints):
            self.ensure_default(namespace)
        return self._ground.store.open(namespace, container, record.labels.get(NAME_LABEL) or container, request)

    def _join(self, before: Sandbox, network: Network, endpoint: Endpoint) -> None:
        ground = self._ground
        driver = ground.driver(network)
        try:
            ground.bring_up(network)
            after = self._reread(before)
            networks = ground.networks_of(after)
            results = ground.agent.run(
                *driver.network_up(network),
                *driver.endpoint_up(network, endpoint, after.netns),
                route_op(after.netns, after.endpoints, networks),
                *publish_ops(after, networks),
            )
            failpoint.hit("network.connect.kernel")
            if ground.learn(results):
                after = self._reread(before)
            self._publish_again(after)
        except BaseException:
            with quietly("endpoint is not taken back", container=before.container):
                ground.agent.run(*driver.endpoint_down(network, endpoint, before.netns))
            ground.store.disconnect(endpoint)
            raise
        failpoint.hit("network.connect.rules")
        ground.tell_up(after)

    def _reread(self, sandbox: Sandbox) -> Sandbox:
        found = self._ground.store.sandbox(sandbox.namespace, sandbox.container)
        if found is None:
            raise NotFound("network of container", sandbox.container)
        return found

    def _publish_again(self, sandbox: Sandbox) -> None:
        """Lead published ports to where the sandbox now has its way out."""
        networks = self._ground.networks_of(sandbox)
        target = port_target(sandbox.endpoints, networks)
        self._ground.firewall.change({owner_of(sandbox): self._ground.sandbox_elements(sandbox, networks)})
        sockets = [item for port in sandbox.ports for item in sockets_for(port, target)]
        self._ground.holder.retarget(owner_of(sandbox), sockets)

    def disconnect(self, namespace: str, key: str, container: str, *, force: bool = False) -> None:
        """Take a container off a network. Raises NotFound, for a container that is not on it too.

        ``force`` goes on when the kernel's part fails.
        """
        with self._ground.lock:
            network = self._ground.store.get(namespace, key)
            sandbox = self._ground.store.sandbox(namespace, container)
            endpoint = (
                next((item for item in sandbox.endpoints if item.network == network.id), None) if sandbox else None
            )
            if sandbox is None or endpoint is None:
                raise NotFound(f"container {container} on network", network.name, "it is not connected to it")
            if sandbox.active:
                self._part(sandbox, network, endpoint, force=force)
            self._ground.store.disconnect(endpoint)
            failpoint.hit("network.disconnect.rows")
            if sandbox.active:
                self._ground.tell_up(self._reread(sandbox))

    def _part(self, sandbox: Sandbox, network: Network, endpoint: Endpoint, *, force: bool) -> None:
        ground = self._ground
        left = tuple(item for item in sandbox.endpoints if item.id != endpoint.id)
        after = replace(sandbox, endpoints=left)
        failpoint.hit("network.disconnect.start")
        self._publish_again(after)
        try:
            ground.agent.run(
                *ground.driver(network).endpoint_down(network, endpoint, sandbox.netns),
                route_op(after.netns, left, ground.networks_of(after)),
            )
        except PycontainerdError:
            if not force:
                self._publish_again(sandbox)
                raise
        failpoint.hit("network.disconnect.kernel")


def check_explicit(network: Network, request: EndpointRequest) -> None:
    """Raises InvalidArgument for an address chosen on the default network, as Docker does."""
    if network.default and (request.ip or request.ip6):
        raise FailedPrecondition(
            "IP address", request.ip or request.ip6, "addresses are chosen on user-defined networks only"
        )


def new_link() -> str:
    """A name for the host's end of a pair, never used before: the last one may still be on its way out."""
    return f"pcv{secrets.token_hex(5)}"
