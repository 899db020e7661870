"""Rows of networks and endpoints: how they are written, read and found."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pycontainerd.core.errors import InvalidArgument, NotFound
from pycontainerd.core.network import Endpoint, Network, Subnet
from pycontainerd.stores.columns import from_micros, from_text, now, to_micros, to_text

if TYPE_CHECKING:
    from sqlite3 import Connection

NETWORK = "namespace, id, name, driver, settings, labels, link, removing, created_at"
"""The columns ``to_network`` reads."""
ENDPOINT = (
    "endpoints.id, endpoints.namespace, endpoints.container, endpoints.network, networks.name, endpoints.interface,"
    " endpoints.mac, endpoints.ip4, endpoints.ip6, endpoints.aliases, endpoints.link"
)
"""The columns ``to_endpoint`` reads, of ``JOINED``."""
JOINED = "endpoints JOIN networks ON networks.id = endpoints.network"
_SHORTEST_ID = 4


def find_network(connection: Connection, namespace: str, key: str) -> Network:
    if not key:
        raise InvalidArgument("network name must not be empty")
    query = f"SELECT {NETWORK} FROM networks WHERE namespace = ? AND (name = ? OR id = ?)"
    rows = connection.execute(query, (namespace, key, key)).fetchall()
    if not rows and len(key) >= _SHORTEST_ID and not key.strip("0123456789abcdef"):
        query = f"SELECT {NETWORK} FROM networks WHERE namespace = ? AND id >= ? AND id < ? LIMIT 2"
        rows = connection.execute(query, (namespace, key, key + "g")).fetchall()
        if len(rows) > 1:
            raise InvalidArgument("network id", key, "several ids begin with it; write more of it")
    if not rows:
        raise NotFound("network", key)
    found = [to_network(row) for row in rows]
    return next((network for network in found if network.name == key), found[0])


def network_row(network: Network) -> tuple[Any, ...]:
    settings = {
        "subnets": [asdict(subnet) for subnet in network.subnets],
        "options": dict(network.options),
        "internal": network.internal,
        "ipv6": network.ipv6,
    }
    return (
        network.namespace,
        network.id,
        network.name,
        network.driver,
        json.dumps(settings, separators=(",", ":")),
        to_text(network.labels),
        network.link,
        int(network.removing),
        to_micros(network.created_at or now()),
    )


def to_network(row: tuple[Any, ...]) -> Network:
    namespace, key, name, driver, settings, labels, link, removing, created = row
    value = json.loads(settings)
    return Network(
        namespace,
        key,
        name,
        driver,
        tuple(Subnet(**subnet) for subnet in value["subnets"]),
        value["options"],
        from_text(labels),
        value["internal"],
        value["ipv6"],
        link,
        from_micros(created),
        bool(removing),
    )


def endpoint_row(endpoint: Endpoint) -> tuple[Any, ...]:
    return (
        endpoint.id,
        endpoint.namespace,
        endpoint.container,
        endpoint.network,
        endpoint.interface,
        endpoint.mac,
        endpoint.ip4,
        endpoint.ip6,
        json.dumps(list(endpoint.aliases)),
        endpoint.link,
    )


def to_endpoint(row: tuple[Any, ...]) -> Endpoint:
    key, namespace, container, network, name, interface, mac, ip4, ip6, aliases, link = row
    return Endpoint(
        key, namespace, container, network, name, interface, mac, ip4, ip6, tuple(json.loads(aliases)), link
    )
