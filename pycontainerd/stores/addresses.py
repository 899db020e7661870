"""Addresses of endpoints: handing them out, inside a transaction of the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.core import ipam
from pycontainerd.core.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection

    from pycontainerd.core.network import Network, Subnet


def allocate(connection: Connection, network: Network, version: int, wanted: str, endpoint: str) -> str:
    """Take an address of a family, the wanted one or the next; "" when the network has no subnet of that family."""
    subnet = network.subnet(version)
    if subnet is None or (version == 6 and not network.ipv6):
        if wanted:
            hint = f"the network has no IPv{version} subnet; make one with --subnet" + " --ipv6" * (version == 6)
            raise InvalidArgument(f"IPv{version} address", wanted, hint)
        return ""
    if wanted:
        number = ipam.check_wanted(subnet, wanted)
        holder = _holder(connection, network, number, version)
        if holder is not None:
            raise FailedPrecondition("IP address", wanted, f"container {holder} has it on network {network.name}")
    else:
        number = _next(connection, network, subnet)
    connection.execute(
        "INSERT INTO addresses (network, address, endpoint) VALUES (?, ?, ?)",
        (network.id, _column(number, version), endpoint),
    )
    return ipam.to_text(number, version)


def _next(connection: Connection, network: Network, subnet: Subnet) -> int:
    version = subnet.version
    query = "SELECT cursor FROM address_cursors WHERE network = ? AND version = ?"
    row = connection.execute(query, (network.id, version)).fetchone()

    def taken(first: int, last: int) -> Iterator[int]:
        query = "SELECT address FROM addresses WHERE network = ? AND address BETWEEN ? AND ? ORDER BY address"
        for (column,) in connection.execute(query, (network.id, _column(first, version), _column(last, version))):
            yield int(column[1:], 16)

    number = ipam.next_address(subnet, int(row[0][1:], 16) if row else 0, taken)
    connection.execute(
        "INSERT OR REPLACE INTO address_cursors VALUES (?, ?, ?)", (network.id, version, _column(number, version))
    )
    return number


def _holder(connection: Connection, network: Network, number: int, version: int) -> str | None:
    query = (
        "SELECT COALESCE(sandboxes.name, endpoints.container) FROM addresses"
        " JOIN endpoints ON endpoints.id = addresses.endpoint LEFT JOIN sandboxes USING (namespace, container)"
        " WHERE addresses.network = ? AND addresses.address = ?"
    )
    row = connection.execute(query, (network.id, _column(number, version))).fetchone()
    return None if row is None else str(row[0])


def _column(number: int, version: int) -> str:
    """An address as text that sorts as numbers do: SQLite's integers end at 64 bits."""
    return f"{version}{number:032x}"
