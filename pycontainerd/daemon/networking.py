"""The network's objects, made by plain constructor calls: a part of the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.happenings import untold
from pycontainerd.core.macvlan import MacvlanDriver
from pycontainerd.core.network_plan import Marks
from pycontainerd.core.overlay import OverlayDriver
from pycontainerd.network.blockers import Neighbours
from pycontainerd.network.client import AgentClient
from pycontainerd.network.cnidriver import CniDriver
from pycontainerd.network.dns.keeping import DnsKeeper
from pycontainerd.network.engine import Networks
from pycontainerd.network.firewall import Firewall
from pycontainerd.network.ground import Ground, netns_directory, netns_path, pools_of, table_of, tag_of
from pycontainerd.network.holding import PortHolder
from pycontainerd.network.hostfiles import HostFiles
from pycontainerd.network.overlayhost import read_key, route_from
from pycontainerd.network.overlayhub import Hub
from pycontainerd.network.records import NetworkedContainers
from pycontainerd.network.sandboxes import Sandboxes
from pycontainerd.network.telling import NetworkTeller
from pycontainerd.stores.networks import NetworkRows

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.happenings import Tell
    from pycontainerd.daemon.config import Config
    from pycontainerd.stores.database import Database


@dataclass(frozen=True, slots=True)
class Networking:
    """The engines of networks and sandboxes, and the container records clients see."""

    networks: Networks
    sandboxes: Sandboxes
    containers: ContainerStore
    ground: Ground


def build_network(
    config: Config, stack: AsyncExitStack, database: Database, containers: ContainerStore, *, tell: Tell = untold
) -> Networking:
    """Raises InvalidArgument for address pools that make no sense. No process is started before there is a need."""
    root, state = config.root, config.state
    agent = AgentClient()
    stack.callback(agent.close)
    table = table_of(root)
    holder = PortHolder(f"{state}/network/keeper.sock")
    stack.callback(holder.close)
    marks = Marks(tag_of(root))
    ground = Ground(
        NetworkRows(database, lambda namespace, container: netns_path(state, namespace, container)),
        agent,
        Firewall(agent, table),
        marks=marks,
        holder=holder,
        neighbours=Neighbours(agent, table),
        netns_directory=netns_directory(state),
        drivers=[MacvlanDriver()],
    )
    cni = CniDriver(agent, f"{root}/cni", ground.store.sandbox)
    ground.drivers[cni.name] = cni
    ground.watch(cni)
    dns = DnsKeeper(agent, f"{state}/network/dns.sock", ground.networks_of)
    stack.callback(dns.close)
    ground.watch(HostFiles(f"{root}/containers", ground.networks_of))
    ground.watch(dns)
    hub = Hub(agent, dns.remote)
    stack.callback(hub.close)
    overlay = OverlayDriver(marks, read_key, route_from, hub)
    ground.drivers[overlay.name] = overlay
    ground.watch(hub)
    ground.watch(NetworkTeller(tell, ground.networks_of, ground.store.sandboxes(active=True)))
    networks = Networks(ground, containers, pools_of(config.network, root), config.network.subnet, tell=tell)
    sandboxes = Sandboxes(ground, networks, containers)
    holder.on_lost = sandboxes.hold_again
    return Networking(networks, sandboxes, NetworkedContainers(containers, sandboxes), ground)
