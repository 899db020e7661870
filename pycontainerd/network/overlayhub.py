"""Keeping in touch with the other hosts of overlay networks: reports go out, what comes in is made so here.

``core.overlaypeers`` says what travels. Each network with a key has a thread that visits its peers: at once when
something has changed here, otherwise every ``PERIOD`` seconds. One listener for each address and port takes visits.
What is learned becomes entries of the tunnel, answers to address questions, and names. When the daemon is away the
entries stay as they are, and what is new is found by flooding.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core import overlaypeers
from pycontainerd.core.dnsmember import names_of, remote_member
from pycontainerd.core.errors import PycontainerdError
from pycontainerd.core.overlaypeers import BadReport, Membership, RemoteEndpoint, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycontainerd.core.network import Network, Sandbox
    from pycontainerd.core.overlay import Tunnel
    from pycontainerd.network.client import AgentClient

    Names = Callable[[str, Mapping[str, dict[str, object]]], None]

PERIOD = 15.0
RETRY = 0.5
"""Seconds until what could not be made so is tried again."""
REACH, LIMIT = 2.0, 5.0
"""Seconds that connecting may take, and then each step of a visit."""
MAX_VISITORS = 16
_HEAD = struct.Struct("!I16sI")
_log = structlog.get_logger("overlay")


class Part:
    """This host's part in one network."""

    def __init__(self, hub: Hub, network: Network, tunnel: Tunnel, link: str) -> None:
        self.network, self.tunnel, self.link = network, tunnel, link
        self.key = overlaypeers.signing_key(tunnel.key, network.name)
        ranges = tuple(subnet.range or subnet.cidr for subnet in network.subnets)
        self.members = Membership(tunnel.local, ranges)
        self.members.expect(tunnel.peers)
        self.mine: dict[tuple[str, str], RemoteEndpoint] = {}
        self.lock = threading.Lock()
        self.applying = threading.Lock()
        self.changed = threading.Event()
        self.closed = False
        self._hub = hub
        self._pending = False
        self._warned: set[str] = set()
        threading.Thread(target=self._run, name=f"overlay-{network.name}", daemon=True).start()

    def report(self) -> bytes:
        """What this host says now."""
        with self.lock:
            endpoints = tuple(self.mine[key] for key in sorted(self.mine))
            return overlaypeers.to_body(
                Report(self.members.local, self.members.vouched, self.members.ranges, endpoints)
            )

    def say(self, key: tuple[str, str], endpoint: RemoteEndpoint | None) -> None:
        """A container here has come, changed or gone."""
        with self.lock:
            if self.mine.get(key) == endpoint:
                return
            if endpoint is None:
                del self.mine[key]
            else:
                self.mine[key] = endpoint
        self.changed.set()

    def hear(self, body: bytes) -> None:
        """Take in what another host said. Raises BadReport."""
        with self.lock:
            before = len(self.members.hosts)
            new = self.members.hear(overlaypeers.from_body(body), time.monotonic())
            grown = len(self.members.hosts) > before
        if grown:
            self.changed.set()  # somebody to visit
        if new:
            self.apply()

    def apply(self) -> None:
        """Make what is known so: tunnel entries, neighbours, names. What fails is tried again a little later."""
        with self.applying:
            with self.lock:
                peers, remote, conflicts = self.members.peers, self.members.remote(), self.members.conflicts()
            for text in set(conflicts) - self._warned:
                _log.warning("addresses are handed out twice", network=self.network.name, reason=text)
            self._warned |= set(conflicts)
            if self.closed:
                return
            entries = [[item.mac, host, list(item.addresses)] for host, items in remote.items() for item in items]
            try:
                self._hub.agent.run(
                    {"op": "vxlan.peers", "name": self.link, "peers": peers},
                    {"op": "vxlan.neighbours", "name": self.link, "master": self.network.link, "entries": entries},
                )
                self._pending = False
            except PycontainerdError as error:  # the tunnel may not have been made yet
                _log.info("tunnel is not brought up to date", network=self.network.name, error=str(error))
                self._pending = True
                self.changed.set()
            self._hub.names(
                self.network.id,
                {
                    f"{host}/{item.mac}": remote_member(self.network, item.names, item.addresses)
                    for host, items in remote.items()
                    for item in items
                },
            )

    def _run(self) -> None:
        with ThreadPoolExecutor(8, "overlay-visit") as pool:
            while not self.closed:
                self.changed.clear()
                with self.lock:
                    forgot = self.members.forget(time.monotonic())
                    peers = self.members.peers
                if forgot or self._pending:
                    self.apply()
                list(pool.map(self._visit, peers))
                self._hub.stopped.wait(RETRY)  # changes come in bursts; one visit tells of all
                self.changed.wait(PERIOD)

    def _visit(self, peer: str) -> None:
        """Exchange reports with another host; one that is away is visited again later."""
        if self.closed:
            return
        try:
            source = (self.tunnel.local, 0)
            with socket.create_connection((peer, self.tunnel.control), REACH, source_address=source) as sock:
                sock.settimeout(LIMIT)
                theirs, ours = _read(sock, overlaypeers.NONCE), os.urandom(overlaypeers.NONCE)
                body = self.report()
                head = _HEAD.pack(self.tunnel.vni, ours, len(body))
                sock.sendall(head + body + overlaypeers.sign(self.key, b"c", theirs + ours, body))
                (length,) = struct.unpack("!I", _read(sock, 4))
                reply = _read(sock, length)
                overlaypeers.verify(self.key, b"s", theirs + ours, reply, _read(sock, overlaypeers.SIGNATURE))
            self.hear(reply)
        except (OSError, BadReport) as error:
            _log.debug("another host is not reached", network=self.network.name, host=peer, error=str(error))

    def close(self) -> None:
        """Take no part any more."""
        self.closed = True
        self.changed.set()


class Hub:
    """All networks this host takes part in: a ``core.overlay.TunnelHub``, and a ``core.network.SandboxWatcher``.

    ``names(group, members)`` has names on other hosts known.
    """

    def __init__(self, agent: AgentClient, names: Names) -> None:
        self.agent, self.names = agent, names
        self._lock = threading.Lock()
        self._parts: dict[str, Part] = {}
        self._doors: dict[tuple[str, int], socket.socket] = {}
        self.stopped = threading.Event()
        self._visitors = threading.Semaphore(MAX_VISITORS)

    # Networks

    def attach(self, network: Network, tunnel: Tunnel, link: str) -> None:
        """Take part in a network, unless that is so already, or it has no key."""
        with self._lock:
            if network.id in self._parts or not tunnel.key:
                return
            self._open(tunnel.local, tunnel.control)
            self._parts[network.id] = Part(self, network, tunnel, link)

    def detach(self, network: Network) -> None:
        """Leave a network; its names on other hosts are forgotten."""
        with self._lock:
            part = self._parts.pop(network.id, None)
            used = {(item.tunnel.local, item.tunnel.control) for item in self._parts.values()}
            for place in self._doors.keys() - used:
                _shut(self._doors.pop(place))
        if part is not None:
            part.close()
            with part.applying:
                self.names(network.id, {})

    def close(self) -> None:
        """Stop; the kernel keeps what it was told."""
        self.stopped.set()
        with self._lock:
            for part in self._parts.values():
                part.close()
            for door in self._doors.values():
                _shut(door)
            self._parts.clear()
            self._doors.clear()

    # Containers

    def sandbox_up(self, sandbox: Sandbox) -> None:
        """Tell the others of a container, on the networks it is on by now."""
        for part in list(self._parts.values()):
            endpoint = next((item for item in sandbox.endpoints if item.network == part.network.id), None)
            told = None
            if endpoint is not None:
                names = tuple(names_of(sandbox, endpoint))
                told = RemoteEndpoint(endpoint.mac, endpoint.ip4, endpoint.ip6, names)
            part.say(sandbox.key, told)

    def sandbox_down(self, sandbox: Sandbox) -> None:
        """Tell the others that it has gone."""
        for part in list(self._parts.values()):
            part.say(sandbox.key, None)

    def recovered(self, sandboxes: Sequence[Sandbox]) -> None:
        """Nothing: reports begin empty, and each sandbox was told of."""

    # Visits

    def _open(self, local: str, port: int) -> None:
        if (local, port) in self._doors:
            return
        try:
            door = socket.create_server(
                (local, port), family=socket.AF_INET6 if ":" in local else socket.AF_INET, backlog=MAX_VISITORS
            )
        except OSError as error:
            _log.warning("other hosts cannot visit this one", address=local, port=port, error=str(error))
            return
        self._doors[local, port] = door
        threading.Thread(target=self._serve, args=(door,), name="overlay-door", daemon=True).start()

    def _serve(self, door: socket.socket) -> None:
        while True:
            self._visitors.acquire()
            try:
                visitor, _ = door.accept()
            except OSError:
                self._visitors.release()
                return
            threading.Thread(target=self._receive, args=(visitor,), name="overlay-visitor", daemon=True).start()

    def _receive(self, visitor: socket.socket) -> None:
        try:
            with visitor:
                visitor.settimeout(LIMIT)
                self._exchange(visitor)
        except (OSError, BadReport) as error:
            _log.debug("a visit came to nothing", error=str(error))
        finally:
            self._visitors.release()

    def _exchange(self, visitor: socket.socket) -> None:
        ours = os.urandom(overlaypeers.NONCE)
        visitor.sendall(ours)
        vni, theirs, length = _HEAD.unpack(_read(visitor, _HEAD.size))
        part = next((item for item in self._parts.values() if item.tunnel.vni == vni), None)
        if part is None:
            return
        body = _read(visitor, length)
        overlaypeers.verify(part.key, b"c", ours + theirs, body, _read(visitor, overlaypeers.SIGNATURE))
        reply = part.report()
        signature = overlaypeers.sign(part.key, b"s", ours + theirs, reply)
        visitor.sendall(struct.pack("!I", len(reply)) + reply + signature)
        part.hear(body)


def _read(sock: socket.socket, length: int) -> bytes:
    """So many bytes. Raises BadReport for too many, OSError for too few."""
    if length > overlaypeers.MAX_BODY:
        raise BadReport(f"it is {length} bytes long")
    data = bytearray()
    while len(data) < length:
        chunk = sock.recv(min(length - len(data), 1 << 16))
        if not chunk:
            raise ConnectionResetError("the other host hung up")
        data += chunk
    return bytes(data)


def _shut(door: socket.socket) -> None:
    with suppress(OSError):
        door.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
    door.close()
