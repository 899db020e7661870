"""The agent's part: opening a sandbox's DNS sockets in its network namespace.

    dns.open   netns, address                         → a datagram and a listening socket come along with the answer

The sockets are bound to a high port of the resolver's address, and four lines of nftables lead port 53 there and back,
so that a container can run a name server of its own on every address. Headers are rewritten without tracking
connections: tracking would cost every packet of the container. Where nftables cannot do it, port 53 itself is bound.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from pycontainerd.network.nft import Nft

if TYPE_CHECKING:
    from pycontainerd.network.agent import Agent

TABLE = "pycontainerd-dns"
"""The table that leads to ``USUAL``."""
OTHER_TABLE = "pycontainerd-dns-other"
"""The one that leads to other ports, where the container has taken that one."""
PORT, USUAL = 53, 61053
"""The second is above the ports that the kernel chooses from."""
_BACKLOG = 128


def open_sockets(agent: Agent, op: dict[str, Any]) -> list[int]:
    """Open both; answers the ports they are on. Raises OSError."""
    with agent.home.inside(op["netns"]):
        udp, tcp = _open(op["address"])
    ports = [udp.getsockname()[1], tcp.getsockname()[1]]
    agent.opened += [udp.detach(), tcp.detach()]
    return ports


def _open(address: str) -> tuple[socket.socket, socket.socket]:
    for port in (USUAL, 0):
        try:
            udp, tcp = _bind(address, port)
        except OSError:
            continue
        try:
            _lead(address, udp.getsockname()[1], tcp.getsockname()[1])
        except OSError:
            udp.close()
            tcp.close()
            break
        return udp, tcp
    return _bind(address, PORT)


def _lead(address: str, udp: int, tcp: int) -> None:
    """Have the one table that leads to these ports.

    What is there (of a responder that died) is mostly right already, and is left alone then: closing a socket that has
    deleted a table waits for the kernel, dozens of milliseconds.
    """
    wanted = TABLE if udp == tcp == USUAL else OTHER_TABLE
    nft = Nft()
    try:
        words = nft.run("list tables ip").split()
        present = [name for name in (TABLE, OTHER_TABLE) if name in words]
        if present == [TABLE] == [wanted]:
            return
        nft.run("".join(f"delete table ip {name}\n" for name in present) + _script(wanted, address, udp, tcp))
    finally:
        nft.close()


def _bind(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    made: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
            made.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
        made[1].listen(_BACKLOG)
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made[0], made[1]


def _script(table: str, address: str, udp: int, tcp: int) -> str:
    there = f'add rule ip {table} output oifname "lo" ip daddr {address}'
    back = f'add rule ip {table} output oifname "lo" ip saddr {address}'
    lines = [
        f"create table ip {table}",
        f"add chain ip {table} output {{ type filter hook output priority -300; policy accept; }}",
        f"{there} udp dport {PORT} udp dport set {udp}",
        f"{there} tcp dport {PORT} tcp dport set {tcp}",
        f"{back} udp sport {udp} udp sport set {PORT}",
        f"{back} tcp sport {tcp} tcp sport set {PORT}",
    ]
    return "\n".join(lines) + "\n"
