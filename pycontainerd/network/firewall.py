"""The daemon's nftables table: what its sets hold now, and each change as one transaction.

Elements have owners (a network, a sandbox), whose parts never overlap. The kernel is believed to hold what was last
applied; when a change is refused because it does not, the whole table is made anew in one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.network_rules import change_script, merged, table_script
from pycontainerd.network.client import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycontainerd.core.network_rules import Elements
    from pycontainerd.network.client import AgentClient

_log = structlog.get_logger("network")


class Firewall:
    """The table, and who put what into it. Not thread-safe: callers hold the engine's lock."""

    def __init__(self, agent: AgentClient, table: str) -> None:
        self.table = table
        self._agent = agent
        self._owners: dict[str, Elements] = {}
        self._made = False

    def start(self, owners: Mapping[str, Elements]) -> None:
        """Make the table anew with these elements. Raises AgentError, Unavailable."""
        self._owners = {owner: elements for owner, elements in owners.items() if elements}
        self._renew()

    def change(self, updates: Mapping[str, Elements]) -> None:
        """Replace what some owners have, all at once; nothing is changed when it raises AgentError, Unavailable."""
        before = self._owners
        if all(before.get(owner, {}) == elements for owner, elements in updates.items()) and self._made:
            return
        old = merged(before[owner] for owner in updates if owner in before)
        script = change_script(self.table, old, merged(updates.values()))
        after = {owner: elements for owner, elements in {**before, **updates}.items() if elements}
        try:
            if self._made:
                self._agent.run({"op": "nft", "script": script})
                self._owners = after
                return
        except AgentError as error:
            _log.warning("packet filter was changed by somebody else and is made anew", reason=str(error))
        self._owners = after
        try:
            self._renew()
        except BaseException:
            self._owners = before
            raise

    def _renew(self) -> None:
        self._made = False
        self._agent.run({"op": "nft", "script": table_script(self.table, self._owners.values())})
        self._made = True
