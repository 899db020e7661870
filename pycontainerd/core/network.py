"""Networks: what a network, an endpoint and a sandbox are, and the Protocols by which their engines meet.

Docker's model. A *network* has a driver, subnets and options. An *endpoint* is one container's place on one network: an
interface with a MAC and addresses. A *sandbox* is the network namespace of one container, with its endpoints and
published ports. Rows are the truth: what the kernel holds is made from them, and made again from them.

A container takes part by carrying the extension ``EXTENSION`` in its record (``core.network_request`` reads it).
Containers without it are nobody's business here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from pycontainerd.core.containers import Container

EXTENSION = "io.pycontainerd.network"
"""The key of a container's extension; its value is JSON."""
TYPE_URL = "io.pycontainerd.v1/Network"
DEFAULT_NETWORK = "bridge"
"""The network of containers that name none; made in each namespace when first needed, and never removed."""

Op = dict[str, Any]
"""One step of a plan, as the network agent runs it: ``{"op": name, …}``. Every step may be run twice."""

BRIDGE_NAME = "com.docker.network.bridge.name"
BRIDGE_ICC = "com.docker.network.bridge.enable_icc"
BRIDGE_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
BRIDGE_HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
MTU = "com.docker.network.driver.mtu"


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet of a network. ``range`` narrows what is handed out; addresses in ``aux`` never are, by name."""

    cidr: str
    gateway: str = ""
    range: str = ""
    aux: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_network(self.cidr).version

    @property
    def prefix(self) -> int:
        """The prefix length."""
        return ip_network(self.cidr).prefixlen


@dataclass(frozen=True, slots=True)
class Network:
    """A network record. ``link`` is the name of its host interface ("" where a driver has none)."""

    namespace: str
    id: str
    name: str
    driver: str = "bridge"
    subnets: tuple[Subnet, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False
    ipv6: bool = False
    link: str = ""
    created_at: datetime | None = None
    removing: bool = False

    def subnet(self, version: int) -> Subnet | None:
        """The first subnet of an address family (4 or 6)."""
        return next((item for item in self.subnets if item.version == version), None)

    def gateway(self, version: int) -> str:
        """The gateway of an address family, "" for none."""
        subnet = self.subnet(version)
        return subnet.gateway if subnet is not None else ""

    @property
    def default(self) -> bool:
        """Whether this is its namespace's default network."""
        return self.name == DEFAULT_NETWORK

    @property
    def icc(self) -> bool:
        """Whether containers on it may talk to each other."""
        return is_true(self.options.get(BRIDGE_ICC, "true"))

    @property
    def masquerade(self) -> bool:
        """Whether containers leave through the host's address."""
        return is_true(self.options.get(BRIDGE_MASQUERADE, "true"))

    @property
    def mtu(self) -> int:
        """The MTU asked for; 0 means that of the host's way out."""
        return int(self.options.get(MTU, "0") or "0")


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """What a container wants on one network; empty fields are chosen for it."""

    network: str
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True)
class PortRequest:
    """A port to publish. ``host_ip`` "" means every address, ``host_port`` 0 any free one, and with ``host_port_end``
    the first free one of a range."""

    container_port: int
    host_port: int = 0
    host_port_end: int = 0
    host_ip: str = ""
    proto: str = "tcp"


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port as it is published now. ``host_ip`` is "" for every address."""

    proto: str
    host_ip: str
    host_port: int
    container_port: int


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """A container's extension. ``mode`` is bridge, host, none, or container:ID (``peer`` is then the ID)."""

    mode: str = "bridge"
    peer: str = ""
    endpoints: tuple[EndpointRequest, ...] = ()
    ports: tuple[PortRequest, ...] = ()
    hostname: str = ""
    domainname: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's place on a network. ``ip4`` and ``ip6`` are addresses without prefix, "" for none; ``interface`` is
    the name inside, ``link`` the other end of the pair on the host ("" while there is none)."""

    id: str
    namespace: str
    container: str
    network: str
    """The network's id."""
    network_name: str
    interface: str
    mac: str
    ip4: str = ""
    ip6: str = ""
    aliases: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A container's network as its rows say. ``active`` from before its task is made until that has ended. ``netns`` is
    the path of its namespace."""

    namespace: str
    container: str
    request: SandboxRequest
    name: str = ""
    """What users call the container: Docker's name for it, else its id."""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    active: bool = False
    netns: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.container


@dataclass(frozen=True, slots=True)
class Attached:
    """What a task to be made needs to know: the path of its network namespace, "" for the host's."""

    netns: str


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A request to make a network, not yet validated."""

    name: str
    driver: str = ""
    subnets: tuple[Subnet, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False
    ipv6: bool = False


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A network with the endpoints on it, and what stands in its way on this host (``warnings``, sentences)."""

    network: Network
    endpoints: tuple[Endpoint, ...] = ()
    warnings: tuple[str, ...] = ()


def is_true(text: str) -> bool:
    """A driver option as a truth value, the way Go reads it."""
    return text.lower() in {"1", "t", "true"}


def with_prefix(address: str, cidr: str) -> str:
    """``address`` with the prefix length of its subnet, as the kernel wants it."""
    return str(ip_interface(f"{address}/{ip_network(cidr).prefixlen}"))


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """``pools``: where networks that name no subnet get one, as ``BASE`` and prefix length ``SIZE`` each, such as
    ``"10.10.0.0/16 24"``. ``subnet``: the default network's, unless it is taken; empty for one of the pools."""

    pools: tuple[str, ...] = ()
    subnet: str = "172.30.0.0/16"


class SandboxEngine(Protocol):
    """What the runtime asks of the network, from a thread. ``core.tasks`` knows no more of it than this."""

    def prepare(self, namespace: str, container: Container) -> Attached | None:
        """Make the namespace, endpoints and ports of a task to come; None for a container that is not ours.

        Raises NotFound (network), FailedPrecondition (port taken, peer not running), ResourceExhausted (no address
        left), InvalidArgument, Unavailable. When it raises, addresses are all that may be left: they are the record's.
        """
        ...

    def released(self, namespace: str, id: str) -> None:
        """The task has ended, or never came to be: ports and namespace go, addresses stay. Idempotent, never raises.

        To be heard of before the next ``prepare`` for the same container."""
        ...

    def remove(self, namespace: str, id: str) -> None:
        """The record is gone: its addresses are free again. Idempotent; containers that are not ours are ignored."""
        ...

    def renamed(self, namespace: str, id: str) -> None:
        """A container has another name: networks call it by that from now on. Never raises."""
        ...

    def recover(self, running: Iterable[tuple[str, str]]) -> None:
        """At start: make kernel and rows agree, given the (namespace, id) of the tasks that live."""
        ...


class NetworkEngine(Protocol):
    """What the networks service offers; ``key`` is a name, an id, or an unambiguous beginning of an id."""

    def create(self, namespace: str, spec: NetworkSpec) -> NetworkView: ...

    def list(self, namespace: str) -> Sequence[NetworkView]: ...

    def get(self, namespace: str, key: str) -> NetworkView: ...

    def delete(self, namespace: str, key: str, *, force: bool = False) -> None: ...

    def prune(self, namespace: str, keep: Callable[[Network], bool]) -> Sequence[str]: ...

    def connect(self, namespace: str, key: str, container: str, request: EndpointRequest) -> Endpoint: ...

    def disconnect(self, namespace: str, key: str, container: str, *, force: bool = False) -> None: ...

    def sandboxes(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[Sandbox]: ...


class SandboxWatcher(Protocol):
    """Told of what sandboxes are like, by whoever keeps names and files for them. Called under the engine's lock, in
    order; must be quick, must not raise, and is called again with the same state after a restart of the daemon."""

    def sandbox_up(self, sandbox: Sandbox) -> None:
        """It has become active, or its endpoints have changed while it was; its namespace exists."""
        ...

    def sandbox_down(self, sandbox: Sandbox) -> None:
        """It is about to go; its namespace still exists."""
        ...

    def recovered(self, sandboxes: Sequence[Sandbox]) -> None:
        """After a start of the daemon: these are all that are active, each has been told of."""
        ...


class NetworkDriver(Protocol):
    """How one kind of network is built: steps for the agent (``pycontainerd.network.agent`` lists them)."""

    name: str
    needs_subnets: bool
    """Whether networks that name no subnet get one, from which endpoints have their addresses."""

    def validate(self, network: Network) -> None:
        """Raises InvalidArgument for options the driver does not have."""
        ...

    def complete(self, network: Network) -> Network:
        """The network with what the driver chooses itself, before its row is made. Raises InvalidArgument."""
        ...

    def link(self, network: Network) -> str:
        """The name of the network's own interface on the host, "" for none. Published ports need one."""
        ...

    def network_up(self, network: Network) -> Sequence[Op]:
        """What makes the network's own links. Run at creation, at each start of the daemon, and before endpoints."""
        ...

    def network_down(self, network: Network) -> Sequence[Op]: ...

    def endpoint_up(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """What puts the endpoint into the namespace; addresses included, default routes not."""
        ...

    def endpoint_down(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """What takes the endpoint out of a namespace that lives on."""
        ...

    def endpoint_end(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """What has to be done before the whole namespace goes, and its links with it; mostly nothing."""
        ...


class NetworkStore(Protocol):
    """Rows of networks, endpoints, addresses and sandboxes. An endpoint's row and its addresses are one transaction."""

    def create(self, network: Network, *, durable: bool = True) -> None:
        """Raises AlreadyExists (name, id), FailedPrecondition (a subnet or a link that another network has)."""
        ...

    def get(self, namespace: str, key: str) -> Network:
        """By name, id or the beginning of an id. Raises NotFound, InvalidArgument (ambiguous)."""
        ...

    def list(self, namespace: str | None = None) -> Sequence[Network]:
        """All networks of a namespace, or of all."""
        ...

    def begin_delete(self, network: Network) -> Network:
        """Let nobody join any more. Raises NotFound, FailedPrecondition naming the containers on it."""
        ...

    def delete(self, network: Network) -> None: ...

    def endpoints(self, network: Network) -> Sequence[Endpoint]: ...

    def sandbox(self, namespace: str, container: str) -> Sandbox | None: ...

    def sandboxes(self, namespace: str | None = None, *, active: bool = False) -> Sequence[Sandbox]: ...

    def open(self, namespace: str, container: str, name: str, request: SandboxRequest) -> Sandbox:
        """The sandbox's row, made with all endpoints of ``request`` unless it is there, in one transaction."""
        ...

    def activate(self, sandbox: Sandbox, links: Mapping[str, str]) -> Sandbox:
        """Active from now on, with host links by endpoint id."""
        ...

    def publish(self, sandbox: Sandbox, ports: Sequence[PublishedPort]) -> None: ...

    def published(self, proto: str, port: int) -> Sequence[tuple[str, PublishedPort]]:
        """Who publishes a host port: names of containers, and what they publish."""
        ...

    def deactivate(self, namespace: str, container: str) -> None: ...

    def connect(self, sandbox: Sandbox, request: EndpointRequest, link: str) -> Endpoint:
        """Raises NotFound (network), AlreadyExists (it is connected), FailedPrecondition (address taken),
        ResourceExhausted (no address left)."""
        ...

    def disconnect(self, endpoint: Endpoint) -> None: ...

    def learn(self, endpoint: str, ip4: str, ip6: str, mac: str) -> None:
        """Note the addresses that an endpoint, by its id, was given by others than us."""
        ...

    def close(self, namespace: str, container: str) -> None:
        """Remove the sandbox with endpoints and addresses."""
        ...
