"""``--link``: another container under a name of one's own choosing, in /etc/hosts. Legacy, as in Docker."""

from __future__ import annotations

import sys

from ctr.errors import Failure, UsageError
from pycontainerd.client import containers, networks
from pycontainerd.core.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.networks import Endpoint

    Json = dict[str, Any]

WARNING = (
    "WARNING: --link is a legacy feature and notes the address of now: "
    "containers of one network that was made with pyctr network create find each other by name"
)


def parse(text: str) -> tuple[str, str]:
    """``NAME[:ALIAS]`` as name and alias, which is the name when none is given. Raises UsageError."""
    name, colon, alias = text.removeprefix("/").partition(":")
    if not name or ":" in alias or (colon and not alias):
        raise UsageError(
            f'invalid argument "{text}" for "--link" flag: bad format for links', "give NAME or NAME:ALIAS"
        )
    return name, alias or name


def add(daemon: Daemon, texts: Sequence[str], host_config: Json, joined: Sequence[Json]) -> None:
    """Note the links in ``host_config``, and the linked containers' addresses among its extra hosts; warns once.

    ``joined`` are the networks the new container joins. Raises Failure when a container is not there, does not run, or
    is on none of them.
    """
    pairs = [parse(text) for text in texts]
    print(WARNING, file=sys.stderr)
    ours = {str(endpoint["network"]) for endpoint in joined}
    ours = {"bridge" if name == "default" else name for name in ours}
    hosts = [line for name, alias in pairs for line in _hosts(daemon, name, alias, ours)]
    host_config["Links"] = [f"{name}:{alias}" for name, alias in pairs]
    host_config["ExtraHosts"] = [*host_config.get("ExtraHosts", ()), *hosts]


def _hosts(daemon: Daemon, name: str, alias: str, ours: set[str]) -> list[str]:
    """The alias, and the container's own name and short id, each as an extra host."""
    try:
        other = containers.find(daemon, name)
    except NotFound as error:
        raise Failure(f"could not get container for {name}: No such container: {name}", "see pyctr ps -a") from error
    sandbox = networks.sandboxes(daemon, [other.id]).get(other.id)
    if sandbox is None or not sandbox.active:
        raise Failure(f"cannot link to a non running container: {name} AS {alias}", "start it, on a network, first")
    shared = shared_endpoint(sandbox.endpoints, ours)
    if shared is None:
        theirs = ", ".join(endpoint.network_name for endpoint in sandbox.endpoints)
        raise Failure(f"cannot link to {name}: it is on none of this container's networks", f"it is on {theirs}")
    known = dict.fromkeys((alias, other.name, other.id[:12]))
    addresses = [address for address in (shared.ipv4, shared.ipv6) if address]
    return [f"{one}:{address}" for one in known for address in addresses]


def shared_endpoint(endpoints: Sequence[Endpoint], ours: set[str]) -> Endpoint | None:
    """The first endpoint on one of ``ours``, which are names or ids (or beginnings of ids) of networks."""
    for endpoint in endpoints:
        if any(name == endpoint.network_name or endpoint.network_id.startswith(name) for name in ours):
            return endpoint
    return None
