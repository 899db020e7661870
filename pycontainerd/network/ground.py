"""What networks and sandboxes stand on: rows, the agent, the packet filter, the drivers, and one lock for all of it.

Whoever changes the network of this host holds ``lock`` from the first row to the last rule. The agent works through one
request at a time anyway; the lock keeps plans and what they are made from together.
"""

from __future__ import annotations

import os
import threading
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import InvalidArgument, PycontainerdError
from pycontainerd.core.ipam import DEFAULT_POOLS, Pool, check_pools, local_pool
from pycontainerd.core.network_plan import BridgeDriver, port_target
from pycontainerd.core.network_rules import network_elements, port_elements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycontainerd.core.network import (
        Network,
        NetworkConfig,
        NetworkDriver,
        NetworkStore,
        Op,
        Sandbox,
        SandboxWatcher,
    )
    from pycontainerd.core.network_blockers import Blockers
    from pycontainerd.core.network_plan import Marks
    from pycontainerd.core.network_rules import Elements
    from pycontainerd.network.blockers import Neighbours
    from pycontainerd.network.client import AgentClient
    from pycontainerd.network.firewall import Firewall
    from pycontainerd.network.holding import PortHolder

DEFAULT_ROOT = "/var/lib/pycontainerd"
_log = structlog.get_logger("network")


def pools_of(config: NetworkConfig, root: str) -> tuple[Pool, ...]:
    """The address pools, the installation's own IPv6 pool behind them. Raises InvalidArgument."""
    pools = []
    for text in config.pools:
        base, _, size = text.partition(" ")
        if not size.strip().isdigit():
            raise InvalidArgument("address pool", text, 'want a network and a prefix length, such as "10.10.0.0/16 24"')
        pools.append(Pool(base, int(size)))
    check_pools(pools)
    found = tuple(pools) or DEFAULT_POOLS
    return found if any(":" in pool.base for pool in found) else (*found, local_pool(root))


def tag_of(root: str) -> str:
    """Eight hex digits that tell this installation's links and rules from those of others on the host."""
    return sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:8]


def table_of(root: str) -> str:
    """The name of the nftables table."""
    return "pycontainerd" if root == DEFAULT_ROOT else f"pycontainerd_{tag_of(root)}"


def netns_directory(state: str) -> str:
    """Where network namespaces are named, each as ``<namespace>/<container id>``."""
    return f"{state}/netns"


def netns_path(state: str, namespace: str, container: str) -> str:
    """Where a container's network namespace is named."""
    return f"{netns_directory(state)}/{namespace}/{container}"


class Ground:
    """Shared by the engines of networks and of sandboxes."""

    def __init__(
        self,
        store: NetworkStore,
        agent: AgentClient,
        firewall: Firewall,
        *,
        marks: Marks,
        holder: PortHolder,
        neighbours: Neighbours,
        netns_directory: str,
        drivers: Iterable[NetworkDriver] = (),
        watchers: Sequence[SandboxWatcher] = (),
    ) -> None:
        self.store, self.agent, self.firewall, self.marks = store, agent, firewall, marks
        self.holder, self.neighbours, self.netns_directory = holder, neighbours, netns_directory
        self.lock = threading.RLock()
        known: list[NetworkDriver] = [BridgeDriver(marks), *drivers]
        self.drivers = {driver.name: driver for driver in known}
        self._watchers = list(watchers)
        self._up: dict[str, tuple[str, ...]] = {}
        self._blockers: Blockers | None = None

    def watch(self, watcher: SandboxWatcher) -> None:
        """Have somebody told of sandboxes that come and go."""
        self._watchers.append(watcher)

    def tell_up(self, sandbox: Sandbox) -> None:
        """Tell the watchers that a sandbox is there, or has changed."""
        for watcher in self._watchers:
            watcher.sandbox_up(sandbox)

    def tell_down(self, sandbox: Sandbox) -> None:
        """Tell the watchers that a sandbox goes."""
        for watcher in self._watchers:
            watcher.sandbox_down(sandbox)

    def tell_recovered(self, sandboxes: Sequence[Sandbox]) -> None:
        """Tell the watchers that they know all there is."""
        for watcher in self._watchers:
            watcher.recovered(sandboxes)

    # Networks

    def driver(self, network: Network) -> NetworkDriver:
        """Raises InvalidArgument for a driver this daemon does not have."""
        found = self.drivers.get(network.driver)
        if found is None:
            known = ", ".join(sorted(self.drivers))
            raise InvalidArgument("network driver", network.driver, f"there are {known}")
        return found

    def bring_up(self, network: Network) -> None:
        """Make a network's links and rules, unless that was done since the daemon started. Raises AgentError."""
        if network.id in self._up:
            return
        self.agent.run(*self.driver(network).network_up(network))
        self.firewall.change({network.id: self.elements(network)})
        self._up[network.id] = self._admit(network)

    def _admit(self, network: Network) -> tuple[str, ...]:
        if not network.link or network.internal:
            return ()
        self._blockers = self.neighbours.look()
        warnings = self.neighbours.admit(network.link, self._blockers)
        for warning in warnings:
            _log.warning("another packet filter is in the way", network=network.name, reason=warning)
        return warnings

    def take_down(self, network: Network) -> None:
        """Remove a network's links and rules, as far as they are there. Raises AgentError."""
        self._up.pop(network.id, None)
        self.agent.run(*self.driver(network).network_down(network))
        self.firewall.change({network.id: {}})
        if network.link and not network.internal:
            self._blockers = self._blockers or self.neighbours.look()
            self.neighbours.dismiss(network.link, self._blockers)

    def warnings(self, network: Network) -> tuple[str, ...]:
        """What stands in a network's way on this host, in sentences."""
        return self._up.get(network.id, ())

    def elements(self, network: Network) -> Elements:
        """What a network puts into the packet filter."""
        if not network.link:
            return {}
        return network_elements(network, filtered=os.path.isdir("/proc/sys/net/bridge"))

    def taken(self) -> list[str]:
        """The subnets that no new network may have: other networks', and those the host has routes to."""
        rows = [subnet.cidr for network in self.store.list() for subnet in network.subnets]
        (routes,) = self.agent.run({"op": "taken"})
        return [*rows, *routes]

    # Sandboxes

    def learn(self, results: Iterable[object]) -> bool:
        """Note the addresses that operations answered (of drivers that leave them to others); whether any did."""
        found = [item for item in results if isinstance(item, dict) and item.get("endpoint")]
        for item in found:
            self.store.learn(item["endpoint"], item["ip4"], item["ip6"], item["mac"])
        return bool(found)

    def networks_of(self, sandbox: Sandbox) -> dict[str, Network]:
        """The networks a sandbox is on, by id."""
        wanted = {endpoint.network for endpoint in sandbox.endpoints}
        return {key: self.store.get(sandbox.namespace, key) for key in wanted}

    def sandbox_elements(self, sandbox: Sandbox, networks: Mapping[str, Network]) -> Elements:
        """What a sandbox puts into the packet filter: its published ports."""
        return port_elements(sandbox.ports, port_target(sandbox.endpoints, networks))

    def endpoint_ops(self, sandbox: Sandbox, networks: Mapping[str, Network]) -> list[Op]:
        """The steps that put all endpoints into a sandbox's namespace, links of the networks first."""
        ops: list[Op] = []
        for endpoint in sandbox.endpoints:
            network = networks[endpoint.network]
            ops += self.driver(network).network_up(network)
        for endpoint in sandbox.endpoints:
            network = networks[endpoint.network]
            ops += self.driver(network).endpoint_up(network, endpoint, sandbox.netns)
        return ops


def owner_of(sandbox: Sandbox) -> str:
    """The name under which a sandbox's rules and ports are kept."""
    return f"{sandbox.namespace}/{sandbox.container}"


def quietly(what: str, **about: str) -> _Quiet:
    """Go on when a step of a teardown fails: the rest must be done all the same, and the next start sees to it."""
    return _Quiet(what, about)


class _Quiet:
    """The context manager behind ``quietly``."""

    def __init__(self, what: str, about: Mapping[str, str]) -> None:
        self._what, self._about = what, about

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, PycontainerdError | OSError):
            _log.warning(self._what, error=str(error), **self._about)
            return True
        return False
