"""Overlay networks, the side that touches the host: the agent's operations.

    vxlan              name, alias, master, vni, port, local, peers   a tunnel as a port of the bridge ``master``
    vxlan.peers        name, peers                                    it leads to these and no others
    vxlan.neighbours   name, master, entries: [[mac, peer, [ip]]]     what is known to be behind it, in place of before

A frame for an address that nobody told about goes to every peer; the answer teaches the way. For those that are known
the bridge answers address questions itself.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from pycontainerd.network.links import LinkError, attempt

if TYPE_CHECKING:
    from pycontainerd.network.agent import Agent

_FLOOD = "00:00:00:00:00:00"
_PERMANENT, _NOARP = 0x80, 0x40
_MASTER = 0x04


def vxlan(agent: Agent, op: dict[str, Any]) -> None:
    """Make the tunnel, or make it as described. Raises LinkError."""
    links, host, name = agent.links, agent.links.host, op["name"]
    found = links.alias(name)
    if found not in {None, "", op["alias"]}:
        raise LinkError(errno.EEXIST, f"link {name} exists and is not ours")
    if found is not None and _shape(host, name) != (op["vni"], op["port"], op["local"]):
        with attempt(f"delete link {name}", ignore=(errno.ENODEV,)):
            host.link("del", index=links.index(name))
        found = None
    if found is None:
        _make(host, op)
    index, master = links.index(name), links.index(op["master"])
    with attempt(f"put {name} on bridge {op['master']}"):
        host.link("set", index=index, ifalias=op["alias"], master=master, mtu=_mtu(host, master), state="up")
    with attempt(f"keep known neighbours' addresses out of {name}", ignore=(errno.EOPNOTSUPP, errno.EINVAL)):
        host.brport("set", index=index, neigh_suppress=1)
    _flood(host, index, name, set(op["peers"]), exact=False)


def peers(agent: Agent, op: dict[str, Any]) -> None:
    """Make these the places that unknown frames go to. Raises LinkError."""
    _flood(agent.links.host, _index(agent, op["name"]), op["name"], set(op["peers"]), exact=True)


def _make(host: Any, op: dict[str, Any]) -> None:
    family = "vxlan_local6" if ":" in op["local"] else "vxlan_local"
    settings = {family: op["local"], "vxlan_id": op["vni"], "vxlan_port": op["port"], "vxlan_learning": True}
    with attempt(f"make tunnel {op['name']} (VNI {op['vni']}; another network may have it: choose one with -o vni=)"):
        host.link("add", ifname=op["name"], kind="vxlan", **settings)


def _shape(host: Any, name: str) -> tuple[int, int, str] | None:
    (link,) = host.link("get", ifname=name)
    info = link.get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA") if info and info.get_attr("IFLA_INFO_KIND") == "vxlan" else None
    if data is None:
        return None
    local = data.get_attr("IFLA_VXLAN_LOCAL") or data.get_attr("IFLA_VXLAN_LOCAL6")
    return data.get_attr("IFLA_VXLAN_ID"), data.get_attr("IFLA_VXLAN_PORT"), local


def _mtu(host: Any, master: int) -> int:
    (link,) = host.link("get", index=master)
    return int(link.get_attr("IFLA_MTU"))


def _index(agent: Agent, name: str) -> int:
    index = agent.links.index(name)
    if not index:
        raise LinkError(errno.ENODEV, f"there is no tunnel {name}")
    return index


def _flood(host: Any, index: int, name: str, wanted: set[str], *, exact: bool) -> None:
    """Have frames for unknown places go to these peers, and if ``exact`` to no others."""
    entries = host.fdb("dump", ifindex=index)
    present = {entry.get_attr("NDA_DST") for entry in entries if entry.get_attr("NDA_LLADDR") == _FLOOD}
    for peer in sorted(wanted - present):
        with attempt(f"lead {name} to {peer}", ignore=(errno.EEXIST,)):
            host.fdb("append", ifindex=index, lladdr=_FLOOD, dst=peer)
    for peer in sorted(filter(None, present - wanted)) if exact else ():
        with attempt(f"lead {name} away from {peer}", ignore=(errno.ENOENT,)):
            host.fdb("del", ifindex=index, lladdr=_FLOOD, dst=peer)


def neighbours(agent: Agent, op: dict[str, Any]) -> None:
    """Write down what is behind the tunnel: which peer a MAC is at, and which MAC an address has. Raises LinkError.

    What was written down before and is not there any more goes; what was learned from traffic is left alone.
    """
    host, name = agent.links.host, op["name"]
    index, master = _index(agent, name), agent.links.index(op["master"])
    _sync_macs(host, index, name, {mac: peer for mac, peer, _ in op["entries"]})
    _sync_addresses(host, master, op["master"], {ip: mac for mac, _, addresses in op["entries"] for ip in addresses})


def _sync_macs(host: Any, index: int, name: str, wanted: dict[str, str]) -> None:
    entries = [entry for entry in host.fdb("dump", ifindex=index) if entry["state"] & _PERMANENT]
    present = {
        entry.get_attr("NDA_LLADDR"): entry.get_attr("NDA_DST")
        for entry in entries
        if entry.get_attr("NDA_DST") and entry.get_attr("NDA_LLADDR") != _FLOOD
    }
    for mac in present.keys() - wanted.keys():
        with attempt(f"forget {mac} behind {name}", ignore=(errno.ENOENT,)):
            host.fdb("del", ifindex=index, lladdr=mac, dst=present[mac])
        with attempt(f"forget {mac} behind {name}", ignore=(errno.ENOENT,)):
            host.fdb("del", ifindex=index, lladdr=mac, flags=_MASTER)
    for mac, peer in wanted.items():
        if present.get(mac) != peer:
            with attempt(f"lead {mac} to {peer}"):
                host.fdb("replace", ifindex=index, lladdr=mac, dst=peer, state=_PERMANENT)
                host.fdb("replace", ifindex=index, lladdr=mac, flags=_MASTER, state=_NOARP)


def _sync_addresses(host: Any, master: int, name: str, wanted: dict[str, str]) -> None:
    for family, colon in ((socket.AF_INET, False), (socket.AF_INET6, True)):
        mine = {ip: mac for ip, mac in wanted.items() if (":" in ip) is colon}
        entries = host.get_neighbours(family=family, ifindex=master)
        present = {
            entry.get_attr("NDA_DST"): entry.get_attr("NDA_LLADDR")
            for entry in entries
            if entry["state"] & _PERMANENT and entry["ifindex"] == master
        }
        for ip in present.keys() - mine.keys():
            with attempt(f"forget {ip} on {name}", ignore=(errno.ENOENT,)):
                host.neigh("del", family=family, dst=ip, ifindex=master)
        for ip, mac in mine.items():
            if present.get(ip) != mac:
                with attempt(f"have {ip} known on {name}"):
                    host.neigh("replace", family=family, dst=ip, lladdr=mac, ifindex=master, state=_PERMANENT)


OPERATIONS = {"vxlan": vxlan, "vxlan.peers": peers, "vxlan.neighbours": neighbours}
