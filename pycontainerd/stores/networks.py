"""Networks, endpoints, addresses and sandboxes as rows; ``core.network.NetworkStore``.

An endpoint is made in one transaction with the addresses it holds, and removed in one with their release, so an address
is never handed out twice and never lost. Subnets and interfaces exist once on a host: they are unique over all
namespaces.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from pycontainerd.core import ipam
from pycontainerd.core.errors import AlreadyExists, FailedPrecondition, NotFound
from pycontainerd.core.network import Endpoint, PublishedPort, Sandbox
from pycontainerd.core.network_request import from_json, to_json
from pycontainerd.stores import namespaces
from pycontainerd.stores.addresses import allocate
from pycontainerd.stores.networkrows import (
    ENDPOINT,
    JOINED,
    NETWORK,
    endpoint_row,
    find_network,
    network_row,
    to_endpoint,
    to_network,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from pycontainerd.core.network import EndpointRequest, Network, SandboxRequest
    from pycontainerd.stores.database import Database

_SANDBOX = "namespace, container, name, request, active"


class NetworkRows:
    """The store. ``netns(namespace, container)`` is where a sandbox's namespace is named."""

    def __init__(self, database: Database, netns: Callable[[str, str], str]) -> None:
        self._database, self._netns = database, netns

    # Networks

    def create(self, network: Network, *, durable: bool = True) -> None:
        """Raises AlreadyExists (name), FailedPrecondition (a subnet or a link that another network has)."""

        def change(connection: Connection) -> None:
            namespaces.ensure(connection, network.namespace)
            query = f"SELECT {NETWORK} FROM networks"
            for other in map(to_network, connection.execute(query)):
                _check_apart(network, other)
            connection.execute(
                f"INSERT INTO networks ({NETWORK}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", network_row(network)
            )

        self._database.write(change, durable=durable)

    def get(self, namespace: str, key: str) -> Network:
        """By name, id or the beginning of an id. Raises NotFound, InvalidArgument (ambiguous)."""
        return self._database.read(lambda connection: find_network(connection, namespace, key))

    def list(self, namespace: str | None = None) -> Sequence[Network]:
        """All networks of a namespace, or of all."""
        where, values = ("", ()) if namespace is None else (" WHERE namespace = ?", (namespace,))
        query = f"SELECT {NETWORK} FROM networks{where} ORDER BY namespace, name"
        rows = self._database.read(lambda connection: connection.execute(query, values).fetchall())
        return [to_network(row) for row in rows]

    def begin_delete(self, network: Network) -> Network:
        """Let nobody join any more. Raises NotFound, FailedPrecondition naming the containers on it."""

        def change(connection: Connection) -> Network:
            found = find_network(connection, network.namespace, network.id)
            names = _names_on(connection, found)
            if names:
                shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
                hint = f"it is used by {shown}; remove or disconnect these first"
                raise FailedPrecondition("network", found.name, hint)
            connection.execute("UPDATE networks SET removing = 1 WHERE id = ?", (found.id,))
            return replace(found, removing=True)

        return self._database.write(change)

    def delete(self, network: Network) -> None:
        """Remove the row; its subnets are free again."""

        def change(connection: Connection) -> None:
            connection.execute("DELETE FROM address_cursors WHERE network = ?", (network.id,))
            connection.execute("DELETE FROM networks WHERE id = ?", (network.id,))

        self._database.write(change, frees=True)

    def endpoints(self, network: Network) -> Sequence[Endpoint]:
        """The endpoints on a network, by container."""
        query = f"SELECT {ENDPOINT} FROM {JOINED} WHERE endpoints.network = ? ORDER BY endpoints.container"
        rows = self._database.read(lambda connection: connection.execute(query, (network.id,)).fetchall())
        return [to_endpoint(row) for row in rows]

    # Sandboxes

    def sandbox(self, namespace: str, container: str) -> Sandbox | None:
        """One sandbox; None when the container has none."""
        return self._database.read(lambda connection: self._sandbox(connection, namespace, container))

    def sandboxes(self, namespace: str | None = None, *, active: bool = False) -> Sequence[Sandbox]:
        """All sandboxes of a namespace (or of all), or those that are active."""
        where = "WHERE (? IS NULL OR namespace = ?)" + (" AND active" if active else "")

        def query(connection: Connection) -> list[Sandbox]:
            rows = connection.execute(f"SELECT {_SANDBOX} FROM sandboxes {where}", (namespace, namespace)).fetchall()
            return [self._assemble(connection, row) for row in rows]

        return self._database.read(query)

    def open(self, namespace: str, container: str, name: str, request: SandboxRequest) -> Sandbox:
        """The sandbox, made with all endpoints of ``request`` unless it is there, in one transaction.

        Raises what ``connect`` raises.
        """

        def change(connection: Connection) -> Sandbox:
            found = self._sandbox(connection, namespace, container)
            if found is None:
                values = (namespace, container, name, to_json(request), 0)
                connection.execute(f"INSERT INTO sandboxes ({_SANDBOX}) VALUES (?, ?, ?, ?, ?)", values)
                for wanted in request.endpoints:
                    self._connect(connection, (namespace, container), wanted, "")
                found = self._sandbox(connection, namespace, container)
                assert found is not None
            return found

        found = self.sandbox(namespace, container)
        return found if found is not None else self._database.write(change, durable=False)

    def activate(self, sandbox: Sandbox, links: Mapping[str, str]) -> Sandbox:
        """Active from now on, with host links by endpoint id. Raises NotFound."""

        def change(connection: Connection) -> Sandbox:
            connection.execute("UPDATE sandboxes SET active = 1 WHERE namespace = ? AND container = ?", sandbox.key)
            connection.executemany(
                "UPDATE endpoints SET link = ? WHERE id = ?", [(link, key) for key, link in links.items()]
            )
            return self._required(connection, *sandbox.key)

        return self._database.write(change, durable=False)

    def publish(self, sandbox: Sandbox, ports: Sequence[PublishedPort]) -> None:
        """The ports that are bound now, in place of others."""

        def change(connection: Connection) -> None:
            self._drop_ports(connection, *sandbox.key)
            connection.executemany(
                "INSERT INTO published_ports VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (*sandbox.key, position, port.proto, port.host_ip, port.host_port, port.container_port)
                    for position, port in enumerate(ports)
                ],
            )

        self._database.write(change, durable=False)

    def published(self, proto: str, port: int) -> Sequence[tuple[str, PublishedPort]]:
        """Who publishes a host port, on whichever addresses: names of containers, and what they publish."""
        query = (
            "SELECT sandboxes.name, proto, host_ip, host_port, container_port FROM published_ports"
            " JOIN sandboxes USING (namespace, container) WHERE proto = ? AND host_port = ?"
        )
        rows = self._database.read(lambda connection: connection.execute(query, (proto, port)).fetchall())
        return [(name, PublishedPort(*rest)) for name, *rest in rows]

    def deactivate(self, namespace: str, container: str) -> None:
        """The end of a life: no ports, no links."""

        def change(connection: Connection) -> None:
            here, key = "WHERE namespace = ? AND container = ?", (namespace, container)
            connection.execute(f"UPDATE sandboxes SET active = 0 {here}", key)
            connection.execute(f"UPDATE endpoints SET link = '' {here}", key)
            self._drop_ports(connection, *key)

        self._database.write(change, durable=False, frees=True)

    def close(self, namespace: str, container: str) -> None:
        """Remove the sandbox with endpoints, addresses and ports."""

        def change(connection: Connection) -> None:
            key = (namespace, container)
            self._drop_ports(connection, *key)
            mine = "SELECT id FROM endpoints WHERE namespace = ? AND container = ?"
            connection.execute(f"DELETE FROM addresses WHERE endpoint IN ({mine})", key)
            connection.execute("DELETE FROM endpoints WHERE namespace = ? AND container = ?", key)
            connection.execute("DELETE FROM sandboxes WHERE namespace = ? AND container = ?", key)

        self._database.write(change, durable=False, frees=True)

    # Endpoints

    def connect(self, sandbox: Sandbox, request: EndpointRequest, link: str) -> Endpoint:
        """Put a sandbox on one more network.

        Raises NotFound (network), AlreadyExists (it is connected), FailedPrecondition (address taken),
        ResourceExhausted (no address left).
        """
        return self._database.write(lambda connection: self._connect(connection, sandbox.key, request, link))

    def disconnect(self, endpoint: Endpoint) -> None:
        """Remove an endpoint and release its addresses."""

        def change(connection: Connection) -> None:
            connection.execute("DELETE FROM addresses WHERE endpoint = ?", (endpoint.id,))
            connection.execute("DELETE FROM endpoints WHERE id = ?", (endpoint.id,))

        self._database.write(change, frees=True)

    def learn(self, endpoint: str, ip4: str, ip6: str, mac: str) -> None:
        """Note the addresses that an endpoint, by its id, was given by others than us."""
        query = "UPDATE endpoints SET ip4 = ?, ip6 = ?, mac = CASE ? WHEN '' THEN mac ELSE ? END WHERE id = ?"

        def change(connection: Connection) -> None:
            connection.execute(query, (ip4, ip6, mac, mac, endpoint))

        self._database.write(change, durable=False)

    def _connect(self, connection: Connection, key: tuple[str, str], request: EndpointRequest, link: str) -> Endpoint:
        namespace, container = key
        network = find_network(connection, namespace, request.network)
        if network.removing:
            raise NotFound("network", request.network, "it is being removed")
        here = connection.execute(
            "SELECT interface, network FROM endpoints WHERE namespace = ? AND container = ?", key
        ).fetchall()
        if any(other == network.id for _, other in here):
            (name,) = connection.execute(
                "SELECT name FROM sandboxes WHERE namespace = ? AND container = ?", key
            ).fetchone() or (container,)
            raise AlreadyExists(f"endpoint of container {name} on network", network.name)
        chosen = secrets.token_hex(32)
        ip4 = allocate(connection, network, 4, request.ip, chosen)
        ip6 = allocate(connection, network, 6, request.ip6, chosen)
        endpoint = Endpoint(
            chosen,
            namespace,
            container,
            network.id,
            network.name,
            _next_interface(name for name, _ in here),
            request.mac or ipam.mac_for(ip4 or ip6 or str(ip_address(secrets.randbits(32)))),
            ip4,
            ip6,
            request.aliases,
            link,
        )
        connection.execute("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", endpoint_row(endpoint))
        return endpoint

    # Rows

    def _required(self, connection: Connection, namespace: str, container: str) -> Sandbox:
        found = self._sandbox(connection, namespace, container)
        if found is None:
            raise NotFound("network of container", container)
        return found

    def _sandbox(self, connection: Connection, namespace: str, container: str) -> Sandbox | None:
        query = f"SELECT {_SANDBOX} FROM sandboxes WHERE namespace = ? AND container = ?"
        row = connection.execute(query, (namespace, container)).fetchone()
        return None if row is None else self._assemble(connection, row)

    def _assemble(self, connection: Connection, row: tuple[Any, ...]) -> Sandbox:
        namespace, container, name, request, active = row
        query = (
            f"SELECT {ENDPOINT} FROM {JOINED} WHERE endpoints.namespace = ? AND endpoints.container = ?"
            " ORDER BY endpoints.rowid"
        )
        endpoints = connection.execute(query, (namespace, container)).fetchall()
        ports = connection.execute(
            "SELECT proto, host_ip, host_port, container_port FROM published_ports"
            " WHERE namespace = ? AND container = ? ORDER BY position",
            (namespace, container),
        ).fetchall()
        parsed = from_json(request)
        return Sandbox(
            namespace,
            container,
            parsed,
            name,
            tuple(map(to_endpoint, endpoints)),
            tuple(PublishedPort(*port) for port in ports),
            bool(active),
            self._netns(namespace, container),
        )

    @staticmethod
    def _drop_ports(connection: Connection, namespace: str, container: str) -> None:
        connection.execute("DELETE FROM published_ports WHERE namespace = ? AND container = ?", (namespace, container))


def _check_apart(network: Network, other: Network) -> None:
    """Raise when two networks cannot both exist on one host."""
    if (other.namespace, other.name) == (network.namespace, network.name):
        raise AlreadyExists("network", network.name)
    if network.link and network.link == other.link:
        raise FailedPrecondition("bridge", network.link, f"is network {other.name}'s; choose another name")
    for subnet in network.subnets:
        if (found := ipam.overlap(subnet.cidr, (item.cidr for item in other.subnets))) != "":
            where = f"network {other.name}" + (
                f" of namespace {other.namespace}" * (other.namespace != network.namespace)
            )
            raise FailedPrecondition("subnet", subnet.cidr, f"overlaps {found} of {where}; choose another one")


def _names_on(connection: Connection, network: Network) -> list[str]:
    query = (
        "SELECT COALESCE(sandboxes.name, endpoints.container) FROM endpoints"
        " LEFT JOIN sandboxes USING (namespace, container) WHERE endpoints.network = ? ORDER BY 1"
    )
    return [str(row[0]) for row in connection.execute(query, (network.id,))]


def _next_interface(taken: Iterator[str]) -> str:
    names = set(taken)
    number = 0
    while f"eth{number}" in names:
        number += 1
    return f"eth{number}"
