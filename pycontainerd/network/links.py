"""Links, addresses and routes, over netlink. Only for the agent: pyroute2 is heavy, and namespaces belong to threads.

Every operation ends in the state it describes whatever part of it was there before, so that it may be repeated. A link
that carries another alias than the one named is somebody else's, and is left alone.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager, suppress
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pycontainerd.network.namespaces import write_sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycontainerd.network.namespaces import Home

DEFAULT_MTU = 1500
_IFA_F_NODAD = 0x02


def _broadcast(cidr: str) -> dict[str, str]:
    """Programs ask the interface for it (SIOCGIFBRDADDR); two addresses alone have none (RFC 3021)."""
    network = ip_interface(cidr).network
    return {"broadcast": str(network.broadcast_address)} if network.prefixlen < 31 else {}


class LinkError(OSError):
    """Raised when netlink refuses; the message says what was tried."""


@contextmanager
def attempt(what: str, *, ignore: tuple[int, ...] = ()) -> Iterator[None]:
    """Turn netlink's errors into LinkError; ``ignore`` are error numbers that mean it is so already."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in ignore:
            raise LinkError(error.code, f"{what}: {os.strerror(error.code)}") from error


class Links:
    """Netlink in the host's namespace, and in containers' for as long as a call lasts."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._host = IPRoute()
        self._bridges: dict[str, tuple[int, int, dict[str, Any]]] = {}
        self._inner: dict[str, IPRoute] = {}
        self._indexes: dict[tuple[str, str], int] = {}

    @property
    def host(self) -> IPRoute:
        """Netlink in the host's namespace, for operations of drivers."""
        return self._host

    def inside(self, netns: str) -> IPRoute:
        """Netlink in a container's namespace, until the request is done. Raises OSError."""
        return self._inside(netns)

    def inner_index(self, netns: str, interface: str) -> int:
        """The index of an interface inside a namespace, 0 when there is none. Raises OSError."""
        return self._inner_index(netns, interface)

    def configure(self, op: dict[str, Any]) -> None:
        """Give ``interface`` in ``netns`` its ``addresses`` and bring it up. Raises LinkError."""
        self._configure(op)

    def forget(self) -> None:
        """Close the sockets in containers' namespaces, which are shared by the operations of one request."""
        for netlink in self._inner.values():
            netlink.close()
        self._inner.clear()
        self._indexes.clear()

    def _inside(self, netns: str) -> IPRoute:
        if netns not in self._inner:
            with self._home.inside(netns):
                self._inner[netns] = IPRoute()
        return self._inner[netns]

    def _inner_index(self, netns: str, interface: str) -> int:
        key = netns, interface
        if not self._indexes.get(key):
            self._indexes[key] = find(self._inside(netns), interface)
        return self._indexes[key]

    # Looking

    def index(self, name: str) -> int:
        """The index of a link of the host, 0 when there is none."""
        return find(self._host, name)

    def alias(self, name: str) -> str | None:
        """The alias of a link of the host ("" for none); None when there is no such link."""
        try:
            (link,) = self._host.link("get", ifname=name)
        except NetlinkError as error:
            if error.code == errno.ENODEV:
                return None
            raise LinkError(error.code, f"link {name}: {os.strerror(error.code)}") from error
        return link.get_attr("IFLA_IFALIAS") or ""

    def all(self) -> list[dict[str, Any]]:
        """Every link of the host: name, alias, index."""
        return [
            {
                "name": link.get_attr("IFLA_IFNAME"),
                "alias": link.get_attr("IFLA_IFALIAS") or "",
                "index": link["index"],
            }
            for link in self._host.get_links()
        ]

    def routes(self) -> list[str]:
        """The destinations of the host's routes but the default ones, as networks: what new subnets must not cover."""
        found = []
        for family, bits in ((2, 32), (10, 128)):
            for route in self._host.get_routes(family=family):
                target, length = route.get_attr("RTA_DST"), route["dst_len"]
                if target and 0 < length <= bits and route["type"] == 1 and not target.startswith("fe80"):
                    found.append(f"{target}/{length}")
        return found

    def uplink_mtu(self) -> int:
        """The MTU of the host's way out, 1500 when it has none."""
        with suppress(NetlinkError, OSError):
            for route in self._host.get_default_routes(family=2) or self._host.get_default_routes(family=10):
                index = route.get_attr("RTA_OIF")
                if index:
                    (link,) = self._host.link("get", index=index)
                    return int(link.get_attr("IFLA_MTU"))
        return DEFAULT_MTU

    # Bridges

    def bridge(self, op: dict[str, Any]) -> None:
        """A bridge: name, alias, mtu (0: the uplink's less ``overhead``), addresses with prefixes, ipv6.

        Raises LinkError (EEXIST) when the name belongs to somebody else's link.
        """
        name = op["name"]
        known = self._bridges.get(name)
        if known is not None and known[2] == op and host_index(name) == known[0]:
            return
        index = self._own_bridge(name, op["alias"])
        mtu = op["mtu"] or self.uplink_mtu() - op.get("overhead", 0)
        quiet(name, ipv6=op["ipv6"])
        with attempt(f"set up bridge {name}"):
            self._host.link("set", index=index, ifalias=op["alias"], mtu=mtu, state="up")
        with attempt(f"have the packets on {name} filtered", ignore=(errno.EOPNOTSUPP, errno.EINVAL)):
            if bridges_are_filtered():
                settings = {"br_nf_call_iptables": 1, "br_nf_call_ip6tables": 1}
                self._host.link("set", index=index, kind="bridge", **settings)
        self._addresses(self._host, index, op["addresses"], name)
        self._bridges[name] = (index, mtu, dict(op))

    def _own_bridge(self, name: str, alias: str) -> int:
        found = self.alias(name)
        if found is None:
            # With an address of its own it does not take that of a port, and another one with each port that leaves.
            mac = "02:42:" + ":".join(f"{byte:02x}" for byte in os.urandom(4))
            with attempt(f"make bridge {name}", ignore=(errno.EEXIST,)):
                self._host.link("add", ifname=name, kind="bridge", br_mcast_snooping=0, address=mac)
        elif found != alias and (found or not self._is_empty_bridge(name)):
            raise LinkError(errno.EEXIST, f"link {name} exists and is not this network's; remove it or choose another")
        return self.index(name)

    def _is_empty_bridge(self, name: str) -> bool:
        """Whether this is the bridge of a creation that was cut off before it got its alias."""
        (link,) = self._host.link("get", ifname=name)
        info = link.get_attr("IFLA_LINKINFO")
        kind = info.get_attr("IFLA_INFO_KIND") if info else ""
        return kind == "bridge" and not any(
            other.get_attr("IFLA_MASTER") == link["index"] for other in self._host.get_links()
        )

    def _addresses(self, netlink: IPRoute, index: int, wanted: Sequence[str], name: str) -> None:
        """Give a link the addresses it lacks."""
        for cidr in wanted:
            address, _, prefix = cidr.partition("/")
            extra: dict[str, Any] = {"flags": _IFA_F_NODAD} if ":" in address else _broadcast(cidr)
            with attempt(f"give {name} the address {cidr}", ignore=(errno.EEXIST,)):
                netlink.addr("add", index=index, address=address, prefixlen=int(prefix), **extra)

    def localnet(self, name: str) -> None:
        """Let 127.0.0.1 of the host reach containers behind a bridge (published ports; the packet filter guards it)."""
        write_sysctl(f"net/ipv4/conf/{name}/route_localnet", "1", missing_ok=True)

    def hairpin(self, name: str) -> None:
        """Let a container reach its own published ports: its bridge port sends back what came in through it."""
        with attempt(f"let packets return through {name}"):
            self._host.brport("set", index=self.index(name), mode=1)

    def unlink(self, name: str, alias: str) -> bool:
        """Delete a link of the host, if it carries the alias; whether it did."""
        self._bridges.pop(name, None)
        if self.alias(name) != alias:
            return False
        with attempt(f"delete link {name}", ignore=(errno.ENODEV, errno.EINVAL)):
            self._host.link("del", index=self.index(name))
        return True

    # Endpoints

    def veth(self, op: dict[str, Any]) -> None:
        """A pair: ``name`` with ``alias`` on bridge ``master`` (``isolated`` from its other ports), and ``interface``
        in ``netns`` with ``mac``, ``mtu`` and ``addresses``."""
        if not self._make_pair(op):
            self._take_over(op)
        self._attach(op)
        self._configure(op)

    def _make_pair(self, op: dict[str, Any]) -> bool:
        """Make the pair, without asking first whether it is there; False when it is."""
        name, mtu = op["name"], self._mtu(op)
        descriptor = os.open(op["netns"], os.O_RDONLY | os.O_CLOEXEC)
        try:
            peer = {"ifname": op["interface"], "net_ns_fd": descriptor, "address": op["mac"], "mtu": mtu}
            self._host.link("add", ifname=name, kind="veth", mtu=mtu, peer=peer)
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                return False
            what = f"cannot make the pair {name} and {op['interface']} in {op['netns']}"
            raise LinkError(error.code, f"{what}: {os.strerror(error.code)}") from error
        finally:
            os.close(descriptor)
        return True

    def _take_over(self, op: dict[str, Any]) -> None:
        """A pair that is there already: ours as it should be, ours but lost its other end, or not ours."""
        name = op["name"]
        if self.alias(name) not in {"", None, op["alias"]}:
            raise LinkError(errno.EEXIST, f"link {name} exists and is not ours")
        if not self._inner_index(op["netns"], op["interface"]):
            self._remove(name)
            if not self._make_pair(op):
                raise LinkError(errno.EEXIST, f"link {name} or {op['interface']} in {op['netns']} is in the way")

    def _mtu(self, op: dict[str, Any]) -> int:
        known = self._bridges.get(op["master"])
        return op["mtu"] or (known[1] if known is not None else self.uplink_mtu())

    def _attach(self, op: dict[str, Any]) -> None:
        name, index = op["name"], self.index(op["name"])
        write_sysctl(f"net/ipv6/conf/{name}/addr_gen_mode", "1", missing_ok=True)  # none; ``quiet`` costs by the link
        known = self._bridges.get(op["master"])
        master = known[0] if known is not None else self.index(op["master"])
        with attempt(f"put {name} on bridge {op['master']}"):
            self._host.link("set", index=index, master=master, ifalias=op["alias"], state="up")
        if op["isolated"] and not bridges_are_filtered():  # the filter can tell published ports from others
            with attempt(f"isolate {name}"):
                self._host.brport("set", index=index, isolated=1)

    def _configure(self, op: dict[str, Any]) -> None:
        """Addresses and state inside; IPv6 is off on interfaces that have no address of it."""
        interface, netns = op["interface"], op["netns"]
        index, inner = self._inner_index(netns, interface), self._inside(netns)
        if not index:
            raise LinkError(errno.ENODEV, f"interface {interface} is not in {netns}")
        with self._home.inside(netns):
            quiet(interface, ipv6=any(":" in address for address in op["addresses"]))
        self._addresses(inner, index, op["addresses"], f"{interface} in {netns}")
        with attempt(f"bring {interface} up in {netns}"):
            inner.link("set", index=index, state="up")

    def _remove(self, name: str) -> None:
        with attempt(f"delete link {name}", ignore=(errno.ENODEV,)):
            self._host.link("del", index=self.index(name))

    def loopback(self, netns: str) -> None:
        """Bring the loopback of a namespace up."""
        with attempt(f"bring lo up in {netns}"):
            self._inside(netns).link("set", index=1, state="up")

    def default_routes(self, netns: str, defaults: dict[str, list[str]], *, fresh: bool, foreign: bool = False) -> None:
        """Make these (family → gateway, interface) the namespace's default routes; ``fresh`` if it has none yet,
        ``foreign`` if others may have made some, which stay in a family that has none of these."""
        for version, family in (("4", 2), ("6", 10)):
            wanted = defaults.get(version)
            if wanted is not None:
                gateway, interface = wanted
                index = self._inner_index(netns, interface)
                with attempt(f"set the default route through {gateway}", ignore=(errno.EEXIST,)):
                    self._inside(netns).route("replace", family=family, dst="default", gateway=gateway, oif=index)
            if not fresh and not (foreign and wanted is None):
                self._drop_routes(netns, family, wanted[0] if wanted else "")

    def _drop_routes(self, netns: str, family: int, keep: str) -> None:
        inner = self._inside(netns)
        for route in inner.get_default_routes(family=family):
            gateway = route.get_attr("RTA_GATEWAY")
            if gateway and gateway != keep:
                with attempt("delete a default route", ignore=(errno.ESRCH,)):
                    inner.route("del", family=family, dst="default", gateway=gateway)


def bridges_are_filtered() -> bool:
    """Whether the packet filter sees what passes a bridge (br_netfilter)."""
    return os.path.isdir("/proc/sys/net/bridge")


def find(netlink: IPRoute, name: str) -> int:
    """The index of a link, 0 when there is none."""
    found = netlink.link_lookup(ifname=name)
    return int(found[0]) if found else 0


def host_index(name: str) -> int:
    """The same for a link of the current namespace, without asking netlink; 0 when it is gone."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def quiet(interface: str, *, ipv6: bool) -> None:
    """Switch IPv6 on a link of the current namespace on or off; without it no link-local address, no chatter.

    Nobody asks whether an address is taken: each is handed out once, a bridge port that returns packets would answer
    its own question, and while a bridge waits for an answer it cannot look for its containers.
    """
    write_sysctl(f"net/ipv6/conf/{interface}/disable_ipv6", "0" if ipv6 else "1", missing_ok=True)
    if ipv6:
        write_sysctl(f"net/ipv6/conf/{interface}/accept_dad", "0", missing_ok=True)
