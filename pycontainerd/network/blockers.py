"""Getting along with other packet filters: Docker's chain for users, firewalld's zones, and warnings for the rest."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import Unavailable
from pycontainerd.core.network_blockers import DOCKER_CHAIN, Blockers, find_blockers, warning
from pycontainerd.linux import process
from pycontainerd.network.client import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainerd.network.client import AgentClient

_LIMIT = 10.0
_COMMENT = "pycontainerd"
_log = structlog.get_logger("network")


class Neighbours:
    """Other people's packet filters on this host."""

    def __init__(self, agent: AgentClient, own_table: str) -> None:
        self._agent, self._own_table = agent, own_table

    def look(self) -> Blockers:
        """What is in force now; nothing when it cannot be told."""
        try:
            (listing,) = self._agent.run({"op": "nft", "script": "list chains", "json": True})
            return find_blockers(json.loads(listing), self._own_table, self._legacy())
        except (AgentError, Unavailable, ValueError) as error:
            _log.warning("other packet filters cannot be listed", error=str(error))
            return Blockers()

    def _legacy(self) -> list[str]:
        try:
            with open("/proc/net/ip_tables_names", encoding="ascii") as file:
                used = "filter" in file.read().split()
        except OSError:
            used = False
        program = shutil.which("iptables-legacy") if used else None
        if program is None:
            return []
        return _run(program, "-w", "-S").stdout.decode(errors="replace").splitlines()

    def admit(self, link: str, blockers: Blockers) -> tuple[str, ...]:
        """Have a bridge's packets let through where there is a way; return warnings for where there is none."""
        warnings = [warning(blocker, link) for blocker in blockers.others]
        for program in _iptables(blockers):
            for rule in _rules(link):
                if _run(program, "-w", "-C", DOCKER_CHAIN, *rule).code == 0:
                    continue
                done = _run(program, "-w", "-I", DOCKER_CHAIN, "1", *rule)
                if done.code:
                    warnings.append(f"{os.path.basename(program)} cannot put a rule into {DOCKER_CHAIN}: {done.text}")
        if blockers.firewalld:
            done = _run("firewall-cmd", "--zone=trusted", f"--change-interface={link}")
            if done.code:
                warnings.append(f"firewalld keeps {link} out of its trusted zone: {done.text}")
        return tuple(warnings)

    def dismiss(self, link: str, blockers: Blockers) -> None:
        """Take back what ``admit`` has put into others' chains."""
        for program in _iptables(blockers):
            for rule in _rules(link):
                _run(program, "-w", "-D", DOCKER_CHAIN, *rule)
        if blockers.firewalld:
            _run("firewall-cmd", "--zone=trusted", f"--remove-interface={link}")


def _iptables(blockers: Blockers) -> Iterator[str]:
    for version, name in ((4, "iptables"), (6, "ip6tables")):
        program = shutil.which(name) if version in blockers.docker else None
        if program is not None:
            yield program


def _rules(link: str) -> Iterator[tuple[str, ...]]:
    for direction in ("-i", "-o"):
        yield direction, link, "-m", "comment", "--comment", _COMMENT, "-j", "ACCEPT"


def _run(*argv: str) -> process.Result:
    """Run a program; one that is missing or hangs counts as failed."""
    with contextlib.suppress(OSError):
        return process.run(argv, timeout=_LIMIT)
    return process.Result(argv, 127, b"", b"cannot be run")
