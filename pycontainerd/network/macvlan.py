"""Macvlan interfaces: the agent's operations.

macvlan.parent   parent                                                    it exists
macvlan          parent, mode, netns, interface, mac, mtu, addresses
inner.unlink     netns, interface                                          any interface inside a namespace
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from pyroute2.netlink.exceptions import NetlinkError

from pycontainerd.network.links import LinkError, attempt

if TYPE_CHECKING:
    from pycontainerd.network.agent import Agent


def parent(agent: Agent, op: dict[str, Any]) -> int:
    """The index of the parent. Raises LinkError when there is none."""
    index = agent.links.index(op["parent"])
    if not index:
        raise LinkError(errno.ENODEV, f"this host has no interface {op['parent']}; see `ip link`")
    return index


def macvlan(agent: Agent, op: dict[str, Any]) -> None:
    """Make the interface inside the namespace, unless it is there, and give it its addresses. Raises LinkError."""
    interface = op["interface"]
    settings = {"link": parent(agent, op), "macvlan_mode": op["mode"], "address": op["mac"]}
    if op["mtu"]:
        settings["mtu"] = op["mtu"]
    descriptor = os.open(op["netns"], os.O_RDONLY | os.O_CLOEXEC)
    try:
        agent.links.host.link("add", ifname=interface, kind="macvlan", net_ns_fd=descriptor, **settings)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            why = {errno.EOPNOTSUPP: "this kernel has no macvlan", errno.EBUSY: "its interface is taken by another use"}
            text = why.get(error.code, os.strerror(error.code))
            raise LinkError(error.code, f"cannot make {interface} on {op['parent']}: {text}") from error
    finally:
        os.close(descriptor)
    agent.links.configure(op)


def unlink(agent: Agent, op: dict[str, Any]) -> None:
    """Delete an interface inside a namespace, if both are there."""
    try:
        index = agent.links.inner_index(op["netns"], op["interface"])
    except FileNotFoundError:
        return
    if index:
        with attempt(f"delete {op['interface']}", ignore=(errno.ENODEV,)):
            agent.links.inside(op["netns"]).link("del", index=index)


OPERATIONS = {"macvlan": macvlan, "macvlan.parent": parent, "inner.unlink": unlink}
