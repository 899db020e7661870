"""What tests of the DNS responder need: namespaces without containers, clients inside them, and a server to ask."""

from __future__ import annotations

import shutil
import socket
import struct
import tempfile
import threading
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from pycontainerd.core import dnsmessage as dns
from pycontainerd.core.network import Endpoint, Network, Sandbox, SandboxRequest, Subnet
from pycontainerd.network.client import AgentClient

if TYPE_CHECKING:
    from collections.abc import Mapping


def query(name: str, kind: int = dns.A, *, id: int = 4242, edns: int = 0) -> bytes:
    """A question as a resolver library sends it."""
    head = dns.HEADER.pack(id, 0x0100, 1, 0, 0, int(bool(edns)))
    opt = struct.pack("!BHHIH", 0, dns.OPT, edns, 0, 0) if edns else b""
    return head + dns.write_name(dns.to_name(name)) + struct.pack("!HH", kind, dns.IN) + opt


class Reply:
    """An answer taken apart: ``code``, ``cut``, and the data of its records."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.id, flags, questions, count, _, self.additional = dns.HEADER.unpack_from(data)
        self.code, self.cut = flags & 15, bool(flags & 0x0200)
        position = dns.HEADER.size
        for _ in range(questions):
            _, position = dns.read_name(data, position)
            position += 4
        self.records: list[tuple[int, bytes]] = []
        for _ in range(count):
            _, position = dns.read_name(data, position)
            kind, _, _, length = struct.unpack_from("!HHIH", data, position)
            position += 10
            self.records.append((kind, data[position : position + length]))
            position += length

    @property
    def addresses(self) -> list[str]:
        return [str(ip_address(data)) for kind, data in self.records if kind in {dns.A, dns.AAAA}]

    @property
    def names(self) -> list[str]:
        return [dns.folded(dns.read_name(data, 0)[0]) for kind, data in self.records if kind == dns.PTR]


class FakeServer:
    """A DNS server that answers every A question with one address, or as told, over UDP and TCP."""

    def __init__(self, address: str, says: str = "192.0.2.1", *, code: int = 0, mute: bool = False) -> None:
        self.address, self.says, self.code, self.mute = address, says, code, mute
        self.asked: list[tuple[str, str]] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (self._udp, self._tcp):
            sock.bind((address, 53))
        self._tcp.listen()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def _answer(self, data: bytes, how: str) -> bytes:
        asked = dns.Query(data)
        self.asked.append((dns.folded(asked.name), how))
        count = 40 if asked.name[0] == b"big" else 1
        if how == "udp" and count > 1 and not asked.edns:
            return dns.cut(dns.failure(asked, data, self.code), asked)
        records = dns.addresses_rdata([ip_address(self.says).packed] * count) if not self.code else []
        return dns.answer(asked, data, self.code, records, ttl=60, limit=65535)

    def _serve_udp(self) -> None:
        while True:
            try:
                data, sender = self._udp.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            answer = self._answer(data, "udp")
            if not self.mute:
                self._udp.sendto(answer, sender)

    def _serve_tcp(self) -> None:
        while True:
            try:
                client, _ = self._tcp.accept()
            except OSError:
                return
            with client:
                length = int.from_bytes(client.recv(2))
                answer = self._answer(client.recv(length), "tcp")
                client.sendall(len(answer).to_bytes(2) + answer)

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in (self._udp, self._tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        for thread in self._threads:
            thread.join(5)


class Namespaces:
    """Network namespaces with nothing in them but loopback, and an agent; all gone at the end."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pc-dns-", dir="/tmp"))
        self.agent = AgentClient()
        self._made: list[str] = []
        self._stack = ExitStack()

    def make(self, name: str) -> str:
        path = str(self.base / "netns" / "test" / name)
        self.agent.run({"op": "netns.create", "path": path, "fresh": True})
        self._made.append(path)
        return path

    def drop(self, path: str) -> None:
        self.agent.run({"op": "netns.delete", "path": path})
        self._made.remove(path)

    def socket(self, netns: str, proto: str, address: str = "127.0.0.1", port: int = 0) -> socket.socket:
        op = {"op": "socket", "netns": netns, "proto": proto, "address": address, "port": port}
        _, (descriptor,) = self.agent.run_opening([op])
        sock = socket.socket(fileno=descriptor)
        sock.settimeout(8)
        return sock

    def ask(self, netns: str, name: str, kind: int = dns.A, *, edns: int = 0, tcp: bool = False) -> Reply:
        """Ask the responder from inside a namespace."""
        with self.socket(netns, "tcp" if tcp else "udp") as client:
            client.connect(("127.0.0.11", 53))
            data = query(name, kind, edns=edns)
            if not tcp:
                client.send(data)
                return Reply(client.recv(65535))
            client.sendall(len(data).to_bytes(2) + data)
            length = int.from_bytes(client.recv(2))
            reply = b""
            while len(reply) < length:
                reply += client.recv(65535)
            return Reply(reply)

    def __enter__(self) -> Namespaces:
        return self

    def __exit__(self, *exc: object) -> None:
        for path in list(self._made):
            self.drop(path)
        self.agent.close()
        shutil.rmtree(self.base, ignore_errors=True)


def network(name: str, cidr: str = "10.91.0.0/24", *, internal: bool = False, id: str = "") -> Network:
    gateway = cidr.rsplit(".", 1)[0] + ".1"
    return Network("test", id or f"id-{name}", name, subnets=(Subnet(cidr, gateway),), internal=internal)


def sandbox(
    container: str,
    netns: str,
    on: Mapping[Network, tuple[str, ...]] | list[tuple[Network, str, tuple[str, ...]]],
    request: SandboxRequest | None = None,
) -> Sandbox:
    """A sandbox on networks, each with address and aliases."""
    assert isinstance(on, list)
    endpoints = tuple(
        Endpoint(f"{container}{n}", "test", container, net.id, net.name, f"eth{n}", "", ip, aliases=aliases)
        for n, (net, ip, aliases) in enumerate(on)
    )
    return Sandbox("test", container, request or SandboxRequest(), container, endpoints, active=True, netns=netns)
