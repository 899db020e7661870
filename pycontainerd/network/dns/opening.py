"""The agent's part: opening a sandbox's DNS sockets in its network namespace.

    dns.open   netns, address                         → a datagram and a listening socket come along with the answer

The sockets are bound to free high ports of the resolver's address, and three lines of nftables lead port 53 there and
back, so that a container can run a name server of its own on every address. Headers are rewritten without tracking
connections: tracking would cost every packet of the container. Where nftables cannot do it, port 53 itself is bound.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from pycontainerd.network.nft import Nft

if TYPE_CHECKING:
    from pycontainerd.network.agent import Agent

TABLE = "pycontainerd-dns"
PORT = 53
_BACKLOG = 128


def open_sockets(agent: Agent, op: dict[str, Any]) -> list[int]:
    """Open both; answers the ports they are on. Raises OSError."""
    address = op["address"]
    with agent.home.inside(op["netns"]):
        try:
            udp, tcp = _bind(address, 0)
            try:
                _lead(_script(address, udp.getsockname()[1], tcp.getsockname()[1]))
            except OSError:
                udp.close()
                tcp.close()
                raise
        except OSError:
            udp, tcp = _bind(address, PORT)
    ports = [udp.getsockname()[1], tcp.getsockname()[1]]
    agent.opened += [udp.detach(), tcp.detach()]
    return ports


def _lead(script: str) -> None:
    """Make the table; one that is there (of a responder that died) is replaced.

    Not always: closing a socket that has deleted a table waits for the kernel, a dozen milliseconds.
    """
    nft = Nft()
    try:
        try:
            nft.run(f"create table ip {TABLE}\n{script}")
        except OSError:
            nft.run(f"add table ip {TABLE}\ndelete table ip {TABLE}\nadd table ip {TABLE}\n{script}")
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


def _script(address: str, udp: int, tcp: int) -> str:
    there = f'add rule ip {TABLE} output oifname "lo" ip daddr {address}'
    back = f'add rule ip {TABLE} output oifname "lo" ip saddr {address}'
    lines = [
        f"add chain ip {TABLE} output {{ type filter hook output priority -300; policy accept; }}",
        f"{there} udp dport {PORT} udp dport set {udp}",
        f"{there} tcp dport {PORT} tcp dport set {tcp}",
        f"{back} udp sport {udp} udp sport set {PORT}",
        f"{back} tcp sport {tcp} tcp sport set {PORT}",
    ]
    return "\n".join(lines) + "\n"
