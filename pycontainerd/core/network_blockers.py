"""Other people's packet filters: what of them would drop our forwarded packets, told from a listing. Pure.

An ``accept`` of ours ends only our own table's say: every other table on the same hook judges for itself. Docker leaves
its users a chain for such cases, firewalld has zones; anything else is only named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOCKER_CHAIN = "DOCKER-USER"
FIREWALLD_TABLE = "firewalld"
_FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}


@dataclass(frozen=True, slots=True)
class Blockers:
    """``docker`` are the families (4, 6) for which Docker's chain exists, ``firewalld`` whether it is in force,
    ``others`` the chains that drop what they do not know, as ``table family name, chain name``."""

    docker: tuple[int, ...] = ()
    firewalld: bool = False
    others: tuple[str, ...] = ()


def find_blockers(listing: Mapping[str, Any], own_table: str, legacy: Iterable[str] = ()) -> Blockers:
    """Read ``nft -j list chains``; ``legacy`` are lines of ``iptables-legacy -S`` where that is in use."""
    docker: set[int] = set()
    firewalld = False
    others = []
    for item in listing.get("nftables", ()):
        chain = item.get("chain")
        if not chain or chain.get("family") not in _FAMILIES:
            continue
        family, table, name = chain["family"], chain["table"], chain["name"]
        if name == DOCKER_CHAIN and table == "filter":
            docker.update(_FAMILIES[family])
        elif chain.get("hook") == "forward" and chain.get("type") == "filter" and table != own_table:
            firewalld = firewalld or table == FIREWALLD_TABLE
            if chain.get("policy") == "drop" and table != FIREWALLD_TABLE:
                others.append((family, f"table {family} {table}, chain {name}"))
    lines = tuple(legacy)
    if f"-N {DOCKER_CHAIN}" in lines:
        docker.add(4)
    if "-P FORWARD DROP" in lines:
        others.append(("ip", "iptables-legacy's chain FORWARD"))
    left = tuple(text for family, text in others if not set(_FAMILIES[family]) <= docker)
    return Blockers(tuple(sorted(docker)), firewalld, left)


def warning(blocker: str, link: str) -> str:
    """What a user is told of a chain that we cannot talk to."""
    return (
        f"{blocker} drops forwarded packets by policy: containers on {link} may not reach the outside, nor be reached,"
        f' until rules there accept iifname "{link}" and oifname "{link}"'
    )
