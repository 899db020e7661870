"""The packet filter: one nftables table, its fixed rules, and the set elements that networks and sandboxes put into it.

The rules never change; what a network or a published port adds are elements of sets and maps, so that a packet costs
one lookup however many there are, and a change one small transaction. Everything is nftables' own language: the JSON
form of libnftables 1.0.6 ends the process over maps whose values are concatenations.

What the rules say, in the order a packet meets them:

* From our bridges nothing may reach 127.0.0.0/8, though ``route_localnet`` is on for them (CVE-2020-8558).
* A published port is translated for packets from elsewhere and from this host; packets for 127.0.0.0/8 only when they
  come from this host. ``ports*`` hold addresses that were named, ``any*`` are for every local address.
* Between networks nothing passes but what goes to a published port. Internal networks reach nobody. From outside only
  published ports are reached. Replies always pass. Packets that touch none of our bridges are never judged.
* Containers leave through the host's address (``masq*``) unless they go to another container; the sender's address is
  kept on the way to a published port, but where the answer would not come back through this host: a container calling
  itself (``self*``), one on the same bridge when bridged packets are not filtered (``hairpin*``), and 127.0.0.0/8.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from pycontainerd.core.ports import ANY4, ANY6, LOOPBACK6

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycontainerd.core.network import Network, PublishedPort
    from pycontainerd.core.ports import Target

Elements = dict[str, dict[str, str]]
"""By set or map: keys as nftables writes them, with their values ("" in a set)."""

_SETS = {
    "bridges": "type ifname;",
    "internal": "type ifname;",
    "icc": "type ifname . ifname;",
    "masq4": "type ipv4_addr; flags interval;",
    "masq6": "type ipv6_addr; flags interval;",
    "hairpin4": "type ifname . ipv4_addr; flags interval;",
    "hairpin6": "type ifname . ipv6_addr; flags interval;",
    "self4": "type ipv4_addr . ipv4_addr;",
    "self6": "type ipv6_addr . ipv6_addr;",
}
_MAPS = {
    "ports4": "type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service;",
    "ports6": "type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service;",
    "any4": "type inet_proto . inet_service : ipv4_addr . inet_service;",
    "any6": "type inet_proto . inet_service : ipv6_addr . inet_service;",
}
_TRANSLATE = (
    "meta l4proto { tcp, udp } dnat ip to meta l4proto . ip daddr . th dport map @ports4",
    "meta l4proto { tcp, udp } dnat ip6 to meta l4proto . ip6 daddr . th dport map @ports6",
    "meta nfproto ipv4 meta l4proto { tcp, udp } fib daddr type local dnat ip to meta l4proto . th dport map @any4",
    "meta nfproto ipv6 meta l4proto { tcp, udp } fib daddr type local dnat ip6 to meta l4proto . th dport map @any6",
)
_CHAINS = {
    "guard": (
        "type filter hook prerouting priority raw; policy accept;",
        ("iifname @bridges ip daddr 127.0.0.0/8 drop",),
    ),
    "inbound": (
        "type nat hook prerouting priority dstnat; policy accept;",
        ('iifname != "lo" ip daddr 127.0.0.0/8 return', *_TRANSLATE),
    ),
    "local": (
        "type nat hook output priority -100; policy accept;",
        ("ip6 daddr ::1 return", *_TRANSLATE),
    ),
    "outbound": (
        "type nat hook postrouting priority srcnat; policy accept;",
        (
            "oifname @bridges ip saddr 127.0.0.0/8 masquerade",
            "ip saddr . ip daddr @self4 masquerade",
            "ip6 saddr . ip6 daddr @self6 masquerade",
            "ct status dnat oifname . ip saddr @hairpin4 masquerade",
            "ct status dnat oifname . ip6 saddr @hairpin6 masquerade",
            "oifname @bridges return",
            "ip saddr @masq4 masquerade",
            "ip6 saddr @masq6 masquerade",
        ),
    ),
    "forward": (
        "type filter hook forward priority filter; policy accept;",
        (
            "ct state established,related accept",
            "iifname . oifname @icc accept",
            "iifname @internal drop",
            "oifname @internal drop",
            "ct status dnat oifname @bridges accept",
            "oifname @bridges drop",
        ),
    ),
}


def table_script(table: str, elements: Iterable[Elements]) -> str:
    """A transaction that makes the table anew, whatever was there, with all elements; no packet sees it missing."""
    lines = [f"add table inet {table}", f"delete table inet {table}", f"add table inet {table}"]
    lines += [f"add set inet {table} {name} {{ {body} }}" for name, body in _SETS.items()]
    lines += [f"add map inet {table} {name} {{ {body} }}" for name, body in _MAPS.items()]
    for chain, (hook, rules) in _CHAINS.items():
        lines.append(f"add chain inet {table} {chain} {{ {hook} }}")
        lines += [f"add rule inet {table} {chain} {rule}" for rule in rules]
    return "\n".join([*lines, *_element_lines(table, "add", merged(elements))]) + "\n"


def drop_script(table: str) -> str:
    """A transaction that removes the table, if it is there."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def change_script(table: str, old: Elements, new: Elements) -> str:
    """A transaction that turns ``old`` into ``new``, "" when they are the same."""
    gone = {name: {k: v for k, v in items.items() if new.get(name, {}).get(k) != v} for name, items in old.items()}
    come = {name: {k: v for k, v in items.items() if old.get(name, {}).get(k) != v} for name, items in new.items()}
    lines = [*_element_lines(table, "delete", gone), *_element_lines(table, "add", come)]
    return "\n".join(lines) + "\n" if lines else ""


def _element_lines(table: str, verb: str, elements: Elements) -> list[str]:
    lines = []
    for name, items in sorted(elements.items()):
        written = [f"{key} : {value}" if value and verb == "add" else key for key, value in items.items()]
        if written:
            lines.append(f"{verb} element inet {table} {name} {{ {', '.join(written)} }}")
    return lines


def merged(parts: Iterable[Elements]) -> Elements:
    """All elements of several owners together."""
    result: Elements = {}
    for part in parts:
        for name, items in part.items():
            result.setdefault(name, {}).update(items)
    return result


def network_elements(network: Network, *, filtered: bool) -> Elements:
    """What a bridge network puts into the sets. ``filtered``: whether bridged packets pass the packet filter."""
    link = f'"{network.link}"'
    result: Elements = {"bridges": {link: ""}}
    if network.internal:
        result["internal"] = {link: ""}
    if network.icc:
        result["icc"] = {f"{link} . {link}": ""}
    for subnet in network.subnets:
        if network.masquerade and not network.internal:
            result[f"masq{subnet.version}"] = {subnet.cidr: ""}
        if not filtered:
            result[f"hairpin{subnet.version}"] = {f"{link} . {subnet.cidr}": ""}
    return result


def port_elements(ports: Iterable[PublishedPort], target: Target) -> Elements:
    """What a sandbox's published ports put into the maps; ``target`` is where they lead."""
    result: Elements = {}
    for port in ports:
        for version, address in ((4, target.ip4), (6, target.ip6)):
            key = _key(port, version)
            if address and key:
                name = f"any{version}" if key.count(" . ") == 1 else f"ports{version}"
                result.setdefault(name, {})[key] = f"{address} . {port.container_port}"
                result.setdefault(f"self{version}", {})[f"{address} . {address}"] = ""
    return result


def _key(port: PublishedPort, version: int) -> str:
    """The map key of a port for a family, "" where it does not concern that family."""
    host = port.host_ip
    if host and (ip_address(host).version != version or host == LOOPBACK6):
        return ""
    if host in {"", ANY4, ANY6}:
        return f"{port.proto} . {port.host_port}"
    return f"{port.proto} . {host} . {port.host_port}"


def needs_localnet(ports: Iterable[PublishedPort]) -> bool:
    """Whether a port is published on 127.0.0.0/8, which bridges then have to let through."""
    return any(not port.host_ip or port.host_ip == ANY4 or port.host_ip.startswith("127.") for port in ports)
