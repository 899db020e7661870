"""The daemon's idea of its table, against an agent that only writes down what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.network.client import AgentError
from pycontainerd.network.firewall import Firewall


class Scribe:
    """An agent whose scripts fail as often as it is told to."""

    def __init__(self) -> None:
        self.scripts: list[str] = []
        self.failures = 0

    def run(self, *ops: dict[str, Any]) -> list[Any]:
        for op in ops:
            self.scripts.append(op["script"])
            if self.failures:
                self.failures -= 1
                raise AgentError("nft", 2, "No such file or directory")
        return [""] * len(ops)


@pytest.fixture
def agent() -> Scribe:
    return Scribe()


@pytest.fixture
def firewall(agent: Scribe) -> Firewall:
    made = Firewall(agent, "t")  # type: ignore[arg-type]
    made.start({"net": {"bridges": {'"br"': ""}}})
    agent.scripts.clear()
    return made


def test_a_change_is_one_script_with_only_what_differs(firewall: Firewall, agent: Scribe) -> None:
    firewall.change({"a": {"any4": {"tcp . 80": "10.0.0.2 . 80"}}})
    assert agent.scripts == ["add element inet t any4 { tcp . 80 : 10.0.0.2 . 80 }\n"]
    firewall.change({"a": {"any4": {"tcp . 80": "10.0.0.2 . 80"}}})
    assert len(agent.scripts) == 1
    firewall.change({"a": {}})
    assert agent.scripts[1:] == ["delete element inet t any4 { tcp . 80 }\n"]


def test_the_first_change_makes_the_table(agent: Scribe) -> None:
    Firewall(agent, "t").change({"a": {"any4": {"tcp . 80": "10.0.0.2 . 80"}}})  # type: ignore[arg-type]
    assert agent.scripts[0].startswith("add table inet t\ndelete table inet t\nadd table inet t\n")
    assert "tcp . 80 : 10.0.0.2 . 80" in agent.scripts[0]


def test_a_refused_change_makes_the_table_anew(firewall: Firewall, agent: Scribe) -> None:
    agent.failures = 1
    firewall.change({"a": {"any4": {"tcp . 80": "10.0.0.2 . 80"}}})
    whole = agent.scripts[1]
    assert whole.startswith("add table")
    assert '"br"' in whole
    assert "tcp . 80" in whole


def test_what_never_worked_is_not_believed(firewall: Firewall, agent: Scribe) -> None:
    agent.failures = 2
    with pytest.raises(PycontainerdError, match="No such file"):
        firewall.change({"a": {"any4": {"tcp . 80": "10.0.0.2 . 80"}}})
    agent.scripts.clear()
    firewall.change({"b": {"any4": {"tcp . 81": "10.0.0.3 . 81"}}})
    assert agent.scripts[0].startswith("add table")
    assert "tcp . 80" not in agent.scripts[0]
