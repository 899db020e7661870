"""The network agent: one process with one thread that does for the daemon what touches namespaces, links and filters.

The daemon starts it with one end of an AF_UNIX, SOCK_SEQPACKET socket pair, whose number is the last argument, and
keeps the other end. It ends at end of file. One request is one datagram with a JSON object, or an empty object and a
memory file (SCM_RIGHTS) that holds it:

    {"ops": [{"op": name, …}, …]}        run in order, up to the first that fails
    → {"results": [value or null, …]}    with descriptors, where operations open some
    → {"results": […], "error": {"op": name, "errno": n, "message": text}}    results of those before it

Every operation may be repeated: a request that was in flight when an agent died is asked again of the next one.

    bridge         name, alias, mtu, addresses, ipv6                    see ``links``
    unlink         name, alias                                          only a link that carries the alias
    localnet       name                                                 let 127.0.0.1 reach through a bridge
    hairpin        name                                                 let packets return to where they came from
    veth           netns, name, alias, master, isolated, interface, mac, mtu, addresses
    routes         netns, defaults: {"4": [gateway, interface], "6": …}, fresh: no need to remove others,
                   foreign: others stay where there is none of these
    netns.create   path, fresh                                          with loopback up; fresh: not one that is there
    netns.delete   path, links: [{name, alias}]                         links that live on a second later are deleted
    netns.check    path                                                 fails when there is no namespace
    netns.list     directory                                            → paths
    sysctl         key, value, netns (absent: the host's)
    forward6       –                                                    IPv6 forwarding; routers keep being heard
    nft            script, json                                         → what it printed
    links          –                                                    → [{name, alias, index}]
    taken          –                                                    → networks the host has routes to
    forget         entries: [[proto, port]], addresses: [ip]            conntrack entries that lead to what is gone
    socket         netns, family, proto, address, port, listen          → a descriptor comes along with the answer
    vxlan, macvlan…, cni.…                                              see ``overlay``, ``macvlan``, ``cni``
    dns.open       netns, address                                       see ``dns.opening``

Drivers may bring operations of their own: ``OPERATIONS`` maps names to functions of (agent, op).
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pycontainerd.linux import fds
from pycontainerd.network import namespaces
from pycontainerd.network.links import Links
from pycontainerd.network.nft import Nft
from pycontainerd.network.wire import MAX_MESSAGE, memory_file, read_all

if TYPE_CHECKING:
    from collections.abc import Callable

    Op = dict[str, Any]

REAP_AFTER = 1.0
"""Seconds that a dropped namespace has to take its links along before they are deleted by name."""
_FORWARD6 = "net/ipv6/conf/all/forwarding"


class Agent:
    """What the operations work on."""

    def __init__(self) -> None:
        self.home = namespaces.Home()
        self.links = Links(self.home)
        self.opened: list[int] = []
        self._nft: Nft | None = None
        self._leaving: dict[str, tuple[str, float]] = {}

    @property
    def nft(self) -> Nft:
        """libnftables, loaded when first needed."""
        if self._nft is None:
            self._nft = Nft()
        return self._nft

    def leave(self, alias: str, name: str) -> None:
        """Note a link that should go by itself."""
        self._leaving[alias] = (name, time.monotonic() + REAP_AFTER)

    def settle(self, alias: str) -> None:
        """An endpoint comes back: what is left of its last link must go now."""
        if (entry := self._leaving.pop(alias, None)) is not None:
            self.links.unlink(entry[0], alias)

    def reap(self) -> float | None:
        """Delete what had its time; say how long until the next, None for nothing to wait for."""
        now = time.monotonic()
        for alias, (name, due) in list(self._leaving.items()):
            if due <= now:
                del self._leaving[alias]
                with suppress(OSError):
                    self.links.unlink(name, alias)
        return max(0.0, min(due for _, due in self._leaving.values()) - now) if self._leaving else None

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the operations of one request."""
        try:
            return self._run(request)
        finally:
            self.links.forget()

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        results: list[object] = []
        for op in request.get("ops", ()):
            try:
                if (operation := OPERATIONS.get(op["op"])) is None:
                    return failed(results, op, 38, f"the network agent knows no operation {op['op']!r}")
                results.append(operation(self, op))
            except OSError as error:
                message = error.strerror or str(error)
                if error.filename:
                    message = f"{message}: {error.filename}"
                return failed(results, op, error.errno or 5, message)
            except Exception as error:  # noqa: BLE001 - one bad request must not end what serves all containers
                return failed(results, op, 22, f"{type(error).__name__}: {error}")
        return {"results": results}


def failed(results: list[object], op: Op, number: int, message: str) -> dict[str, Any]:
    """The answer to a request that was cut short."""
    return {"results": results, "error": {"op": str(op.get("op")), "errno": number, "message": message}}


def _veth(agent: Agent, op: Op) -> None:
    agent.settle(op["alias"])
    agent.links.veth(op)


def _netns_create(agent: Agent, op: Op) -> None:
    path = op["path"]
    if namespaces.is_namespace(path):
        if not op.get("fresh"):
            return
        namespaces.drop(path)
    agent.home.create(path)
    agent.links.loopback(path)


def _netns_check(agent: Agent, op: Op) -> None:
    if not namespaces.is_namespace(op["path"]):
        raise FileNotFoundError(2, "the network namespace is gone; restart its container", op["path"])


def _netns_delete(agent: Agent, op: Op) -> None:
    namespaces.drop(op["path"])
    for link in op.get("links", ()):
        agent.leave(link["alias"], link["name"])


def _sysctl(agent: Agent, op: Op) -> None:
    if op.get("netns"):
        with agent.home.inside(op["netns"]):
            namespaces.write_sysctl(op["key"], op["value"])
    else:
        namespaces.write_sysctl(op["key"], op["value"])


def _forward6(agent: Agent, op: Op) -> None:
    """A host that forwards stops listening to router advertisements unless told to go on: keep its own routes."""
    with suppress(FileNotFoundError), open(f"/proc/sys/{_FORWARD6}", encoding="ascii") as file:
        if file.read().strip() == "1":
            return
    for name in os.listdir("/proc/sys/net/ipv6/conf"):
        path = f"/proc/sys/net/ipv6/conf/{name}/accept_ra"
        with open(path, "r+", encoding="ascii") as file:
            if name != "all" and file.read().strip() == "1":
                file.seek(0)
                file.write("2")
    namespaces.write_sysctl(_FORWARD6, "1", missing_ok=True)


def _socket(agent: Agent, op: Op) -> None:
    family = socket.AF_INET6 if ":" in op["address"] else socket.AF_INET
    kind = socket.SOCK_STREAM if op["proto"] == "tcp" else socket.SOCK_DGRAM
    with agent.home.inside(op["netns"]):
        made = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    with made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((op["address"], op["port"]))
        if op.get("listen"):
            made.listen(op["listen"])
        agent.opened.append(made.detach())


def _forget(agent: Agent, op: Op) -> int:
    from pycontainerd.network import conntrack

    return conntrack.forget({(proto, port) for proto, port in op["entries"]}, set(op["addresses"]))


def _vxlan(agent: Agent, op: Op) -> None:
    from pycontainerd.network import overlay

    overlay.OPERATIONS[op["op"]](agent, op)


def _macvlan(agent: Agent, op: Op) -> None:
    from pycontainerd.network import macvlan

    macvlan.OPERATIONS[op["op"]](agent, op)


def _routes(agent: Agent, op: Op) -> None:
    fresh, foreign = bool(op.get("fresh")), bool(op.get("foreign"))
    agent.links.default_routes(op["netns"], op["defaults"], fresh=fresh, foreign=foreign)


def _cni(agent: Agent, op: Op) -> object:
    from pycontainerd.network import cni

    return cni.OPERATIONS[op["op"]](agent, op)


def _dns_open(agent: Agent, op: Op) -> list[int]:
    from pycontainerd.network.dns import opening

    return opening.open_sockets(agent, op)


OPERATIONS: dict[str, Callable[[Agent, Op], object]] = {
    "bridge": lambda agent, op: agent.links.bridge(op),
    "unlink": lambda agent, op: agent.links.unlink(op["name"], op["alias"]),
    "localnet": lambda agent, op: agent.links.localnet(op["name"]),
    "hairpin": lambda agent, op: agent.links.hairpin(op["name"]),
    "veth": _veth,
    "routes": _routes,
    "netns.create": _netns_create,
    "netns.check": _netns_check,
    "netns.delete": _netns_delete,
    "netns.list": lambda agent, op: namespaces.named(op["directory"]),
    "sysctl": _sysctl,
    "forward6": _forward6,
    "nft": lambda agent, op: agent.nft.run(op["script"], json=bool(op.get("json"))),
    "links": lambda agent, op: agent.links.all(),
    "taken": lambda agent, op: agent.links.routes(),
    "forget": _forget,
    "socket": _socket,
    "dns.open": _dns_open,
    "vxlan": _vxlan,
    "vxlan.peers": _vxlan,
    "vxlan.neighbours": _vxlan,
    "macvlan": _macvlan,
    "macvlan.parent": _macvlan,
    "inner.unlink": _macvlan,
    "cni.add": _cni,
    "cni.del": _cni,
    "cni.check": _cni,
    "cni.sweep": _cni,
}


def serve(control: socket.socket) -> None:
    """Answer requests until the other end is closed."""
    agent = Agent()
    waiting = select.poll()
    waiting.register(control, select.POLLIN)
    while True:
        pause = agent.reap()
        if not waiting.poll(None if pause is None else pause * 1000 + 1):
            continue
        data, received, _, _ = socket.recv_fds(control, MAX_MESSAGE, 4)
        if not data:
            return
        answer = agent.handle(_request(data, received))
        _reply(control, json.dumps(answer).encode(), agent.opened)


def _request(data: bytes, received: list[int]) -> dict[str, Any]:
    try:
        if received:
            data = read_all(received[0])
        request: dict[str, Any] = json.loads(data)
        return request
    except ValueError as error:
        return {"ops": [{"op": f"unreadable request ({error})"}]}
    finally:
        for descriptor in received:
            os.close(descriptor)


def _reply(control: socket.socket, data: bytes, opened: list[int]) -> None:
    carried = list(opened)
    if len(data) > MAX_MESSAGE:
        carried.insert(0, memory_file(data))
        data = b"{}"
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(control, [data], carried)
    finally:
        for descriptor in carried:
            fds.close(descriptor)
        opened.clear()


def main() -> None:
    """Serve on the descriptor that the last argument names."""
    with socket.socket(fileno=int(sys.argv[-1])) as control:
        control.set_inheritable(False)
        serve(control)


if __name__ == "__main__":
    main()
