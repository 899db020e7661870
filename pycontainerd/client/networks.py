"""Networks seen from outside, and the network side of containers."""

from __future__ import annotations

from pycontainerd.client import jsontext
from pycontainerd.core.errors import AlreadyExists, Conflict, NotFound
from pycontainerd.core.publish import EXTENSION
from pycontainerd.wire.messages import networks as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon

    Json = dict[str, Any]

SERVICE = "pycontainerd.networks.v1.Networks"


def names_of(container: Container) -> list[str]:
    """The networks a container was made for, from its record."""
    extension = container.record.extensions.get(EXTENSION)
    if extension is None:
        mode = str(container.host_config.get("NetworkMode") or "")
        return [mode] if mode in ("host", "none") else []
    try:
        document = jsontext.loads(extension.value)
        return [endpoint["network"] for endpoint in document.get("endpoints") or ()]
    except (ValueError, KeyError, AttributeError, TypeError):
        return []


def create(daemon: Daemon, request: messages.CreateNetworkRequest) -> messages.Network:
    """Raises Conflict when the name is taken, InvalidArgument, FailedPrecondition."""
    try:
        return _one(daemon.call(SERVICE, "Create", request, messages.CreateNetworkResponse).network)
    except AlreadyExists as error:
        if not str(error).startswith('network "'):
            raise  # the interface's name is taken, which the daemon says
        raise Conflict(f"network with name {request.name} already exists", hint="choose another name") from error


def get(daemon: Daemon, name: str) -> messages.Network:
    """By name, id or the beginning of an id. Raises NotFound in Docker's words."""
    try:
        answer = daemon.call(SERVICE, "Get", messages.GetNetworkRequest(network=name), messages.GetNetworkResponse)
    except NotFound as error:
        raise missing(name) from error
    return _one(answer.network)


def list_all(daemon: Daemon, filters: Sequence[str] = ()) -> list[messages.Network]:
    """By name."""
    request = messages.ListNetworksRequest(filters=filters)
    return list(daemon.call(SERVICE, "List", request, messages.ListNetworksResponse).networks)


def remove(daemon: Daemon, name: str, *, force: bool = False) -> None:
    """Raises NotFound, FailedPrecondition naming the containers on it."""
    try:
        daemon.call(SERVICE, "Remove", messages.RemoveNetworkRequest(network=name, force=force), Empty)
    except NotFound as error:
        raise missing(name) from error


def prune(daemon: Daemon, items: Sequence[str] = ()) -> list[str]:
    """Remove what no container is on; ``items`` are Docker's filters, checked by the caller."""
    import time

    from pycontainerd.client.happenings import tell
    from pycontainerd.client.times import from_ns, parse_moment

    conditions, before = [], None
    for item in items:
        key, _, value = item.partition("=")
        if key == "until":
            before = from_ns(parse_moment(value, time.time_ns()))
            continue
        name, equals, wanted = value.partition("=")
        operator = "!=" if key == "label!" else "=="
        conditions.append(f'labels."{name}"{operator}"{wanted}"' if equals else f'labels."{name}"')
    filters = [",".join(conditions)] if conditions else []
    request = messages.PruneNetworksRequest(filters=filters, created_before=before)
    removed = list(daemon.call(SERVICE, "Prune", request, messages.PruneNetworksResponse).removed)
    tell(daemon, "network", "prune", "", reclaimed="0")
    return removed


def connect(daemon: Daemon, request: messages.ConnectNetworkRequest) -> None:
    """Raises NotFound for the network, AlreadyExists."""
    try:
        daemon.call(SERVICE, "Connect", request, messages.ConnectNetworkResponse)
    except NotFound as error:
        raise missing(request.network) from error


def disconnect(daemon: Daemon, name: str, id: str, *, force: bool) -> None:
    """Raises NotFound, also when the container is not on it."""
    request = messages.DisconnectNetworkRequest(network=name, container=id, force=force)
    try:
        daemon.call(SERVICE, "Disconnect", request, Empty)
    except NotFound as error:
        if error.what.startswith("container"):
            raise NotFound(f"container {id[:12]} is not connected to network {name}") from error
        raise missing(name) from error


def sandboxes(daemon: Daemon, ids: Sequence[str] = ()) -> dict[str, messages.Sandbox]:
    """By container, its networks and ports; all that have some without ids."""
    request = messages.ListSandboxesRequest(containers=ids)
    answer = daemon.call(SERVICE, "Sandboxes", request, messages.ListSandboxesResponse)
    return {sandbox.container: sandbox for sandbox in answer.sandboxes}


def ports_of(sandbox: messages.Sandbox | None) -> Json:
    """Docker's ``NetworkSettings.Ports`` of what is published now."""
    result: Json = {}
    for port in sandbox.ports if sandbox is not None else ():
        addresses = [port.host_ip] if port.host_ip else ["0.0.0.0", "::"]
        entries = result.setdefault(f"{port.container_port}/{port.protocol}", [])
        entries += [{"HostIp": address, "HostPort": str(port.host_port)} for address in addresses]
    return dict(sorted(result.items(), key=lambda item: (int(item[0].partition("/")[0]), item[0])))


def missing(name: str) -> NotFound:
    """As Docker says it."""
    return NotFound(f"network {name} not found", hint="see pyctr network ls")


def _one(network: messages.Network | None) -> messages.Network:
    return network if network is not None else messages.Network()
