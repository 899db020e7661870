"""Who joins and leaves networks is told once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycontainerd.core.errors import NotFound
from pycontainerd.core.network import Endpoint, Network, Sandbox, SandboxRequest
from pycontainerd.network.telling import NetworkTeller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycontainerd.wire.messages.history import Happened


def endpoint(number: int) -> Endpoint:
    return Endpoint(f"e{number}", "ns", "c", f"id{number}", f"net{number}", f"eth{number}", "02:00:00:00:00:01")


def sandbox(*numbers: int) -> Sandbox:
    return Sandbox("ns", "c", SandboxRequest(), endpoints=tuple(map(endpoint, numbers)), active=True)


class Told:
    """The teller, and a list of what it told."""

    def __init__(self, *active: Sandbox) -> None:
        self.said: list[str] = []
        self.gone = False
        self.teller = NetworkTeller(self._hear, self._networks, active)

    def _hear(self, namespace: str, message: Happened) -> None:
        assert namespace == "ns"
        assert message.attributes["container"] == "c"
        self.said.append(f"{message.action} {message.attributes['name']} {message.attributes['type']}")

    def _networks(self, sandbox: Sandbox) -> Mapping[str, Network]:
        if self.gone:
            raise NotFound("network", "net")
        return {item.network: Network("ns", item.network, item.network_name) for item in sandbox.endpoints}

    def take(self) -> list[str]:
        said, self.said = self.said, []
        return said


def test_a_life() -> None:
    told = Told()
    told.teller.sandbox_up(sandbox(1))
    assert told.take() == ["connect net1 bridge"]
    told.teller.sandbox_up(sandbox(1, 2))
    told.teller.sandbox_up(sandbox(1, 2))
    assert told.take() == ["connect net2 bridge"]
    told.teller.sandbox_up(sandbox(2))
    assert told.take() == ["disconnect net1 bridge"]
    told.gone = True
    told.teller.sandbox_down(sandbox(2))
    told.teller.sandbox_down(sandbox(2))
    assert told.take() == ["disconnect net2 bridge"]


def test_a_restart_of_the_daemon_repeats_nothing() -> None:
    told = Told(sandbox(1))
    told.teller.sandbox_up(sandbox(1))
    told.teller.recovered([sandbox(1)])
    assert told.take() == []
    told.teller.sandbox_down(sandbox(1))
    assert told.take() == ["disconnect net1 bridge"]


def test_what_ended_meanwhile_is_told_at_the_start() -> None:
    told = Told(sandbox(1), replace(sandbox(), container="other"))
    told.teller.recovered([])
    assert told.take() == ["disconnect net1 "]
