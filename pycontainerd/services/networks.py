"""pycontainerd.networks.v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.networks.v1 import networks_pb2 as pb
from pycontainerd.core.filters import compile as compile_filters
from pycontainerd.core.network import EndpointRequest, NetworkSpec, Subnet
from pycontainerd.core.network_filters import adaptor
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import optional_time, to_timestamp

if TYPE_CHECKING:
    from pycontainerd.core.network import Endpoint, Network, NetworkEngine, NetworkView, Sandbox
    from pycontainerd.rpc.call import Call


class NetworksService(Service):
    """The Networks service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Networks"]

    def __init__(self, engine: NetworkEngine) -> None:
        self._engine = engine

    async def Create(self, request: pb.CreateNetworkRequest, call: Call) -> pb.CreateNetworkResponse:
        """Make a network."""
        made = await offload(self._engine.create, call.namespace, _spec(request))
        return pb.CreateNetworkResponse(network=_network(made))

    async def List(self, request: pb.ListNetworksRequest, call: Call) -> pb.ListNetworksResponse:
        """Networks that match."""
        matches = compile_filters(request.filters)
        views = await offload(self._engine.list, call.namespace)
        found = [view for view in views if matches(adaptor(view.network, dangling=not view.endpoints))]
        return pb.ListNetworksResponse(networks=map(_network, found))

    async def Get(self, request: pb.GetNetworkRequest, call: Call) -> pb.GetNetworkResponse:
        """One network."""
        return pb.GetNetworkResponse(network=_network(await offload(self._engine.get, call.namespace, request.network)))

    async def Remove(self, request: pb.RemoveNetworkRequest, call: Call) -> Empty:
        """Remove a network nobody is on."""
        await offload(self._engine.delete, call.namespace, request.network, force=request.force)
        return Empty()

    async def Prune(self, request: pb.PruneNetworksRequest, call: Call) -> pb.PruneNetworksResponse:
        """Remove all networks nobody is on."""
        matches, before = compile_filters(request.filters), optional_time(request, "created_before")

        def keep(network: Network) -> bool:
            late = before is not None and network.created_at is not None and network.created_at >= before
            return late or not matches(adaptor(network, dangling=True))

        return pb.PruneNetworksResponse(removed=await offload(self._engine.prune, call.namespace, keep))

    async def Connect(self, request: pb.ConnectNetworkRequest, call: Call) -> pb.ConnectNetworkResponse:
        """Put a container on a network."""
        namespace = call.namespace
        wanted = EndpointRequest(request.network, tuple(request.aliases), request.ipv4, request.ipv6, request.mac)
        endpoint = await offload(self._engine.connect, namespace, request.network, request.container, wanted)
        view = await offload(self._engine.get, namespace, endpoint.network)
        return pb.ConnectNetworkResponse(endpoint=_endpoint(endpoint, view.network))

    async def Disconnect(self, request: pb.DisconnectNetworkRequest, call: Call) -> Empty:
        """Take a container off a network."""
        namespace, force = call.namespace, request.force
        await offload(self._engine.disconnect, namespace, request.network, request.container, force=force)
        return Empty()

    async def Sandboxes(self, request: pb.ListSandboxesRequest, call: Call) -> pb.ListSandboxesResponse:
        """The networks and ports of containers."""
        namespace = call.namespace
        sandboxes = await offload(self._engine.sandboxes, namespace, tuple(request.containers))
        views = await offload(self._engine.list, namespace) if sandboxes else ()
        networks = {view.network.id: view.network for view in views}
        return pb.ListSandboxesResponse(sandboxes=[_sandbox(item, networks) for item in sandboxes])


def _spec(request: pb.CreateNetworkRequest) -> NetworkSpec:
    subnets = tuple(
        Subnet(item.cidr, item.gateway, item.ip_range, dict(item.aux_addresses)) for item in request.subnets
    )
    return NetworkSpec(
        request.name,
        request.driver,
        subnets,
        dict(request.options),
        dict(request.labels),
        request.internal,
        request.ipv6,
    )


def _network(view: NetworkView) -> pb.Network:
    network = view.network
    return pb.Network(
        id=network.id,
        name=network.name,
        driver=network.driver,
        subnets=[
            pb.Subnet(cidr=item.cidr, gateway=item.gateway, ip_range=item.range, aux_addresses=item.aux)
            for item in network.subnets
        ],
        options=network.options,
        labels=network.labels,
        internal=network.internal,
        ipv6=network.ipv6,
        link=network.link,
        created_at=to_timestamp(network.created_at),
        endpoints=[_endpoint(endpoint, network) for endpoint in view.endpoints],
        warnings=view.warnings,
    )


def _endpoint(value: Endpoint, network: Network | None) -> pb.Endpoint:
    message = pb.Endpoint(
        id=value.id,
        container=value.container,
        network_id=value.network,
        network_name=value.network_name,
        interface=value.interface,
        mac=value.mac,
        ipv4=value.ip4,
        ipv6=value.ip6,
        aliases=value.aliases,
    )
    if network is not None:
        if value.ip4 and (subnet := network.subnet(4)) is not None:
            message.ipv4_prefix, message.ipv4_gateway = subnet.prefix, subnet.gateway
        if value.ip6 and (subnet := network.subnet(6)) is not None:
            message.ipv6_prefix, message.ipv6_gateway = subnet.prefix, subnet.gateway
    return message


def _sandbox(value: Sandbox, networks: dict[str, Network]) -> pb.Sandbox:
    return pb.Sandbox(
        container=value.container,
        mode=value.request.mode,
        active=value.active,
        netns=value.netns if value.active else "",
        endpoints=[_endpoint(endpoint, networks.get(endpoint.network)) for endpoint in value.endpoints],
        ports=[
            pb.PublishedPort(
                protocol=port.proto,
                host_ip=port.host_ip,
                host_port=port.host_port,
                container_port=port.container_port,
            )
            for port in value.ports
        ],
    )
