"""Turns: alone excludes all, shared excludes alone, first come first served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from shim.loop import drive
from shim.turns import Turns

if TYPE_CHECKING:
    from shim.loop import Steps


class Model:
    def __init__(self) -> None:
        self.turns = Turns()
        self.running: list[tuple[int, bool]] = []
        self.order: list[int] = []

    def request(self, number: int, shared: bool) -> None:
        def steps() -> Steps[None]:
            yield from self.turns.take(shared)
            self.running.append((number, shared))
            self.order.append(number)

        drive(steps(), lambda _value, _error: None)

    def check(self) -> None:
        alone = [number for number, shared in self.running if not shared]
        assert not alone or len(self.running) == 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_nobody_shares_with_one_who_is_alone(plan: list[tuple[bool, bool]]) -> None:
    model = Model()
    for number, (shared, give_one) in enumerate(plan):
        model.request(number, shared)
        model.check()
        if give_one and model.running:
            _, kind = model.running.pop(0)
            model.turns.give(kind)
            model.check()
    while model.running:
        _, kind = model.running.pop(0)
        model.turns.give(kind)
        model.check()
    assert model.order == list(range(len(plan)))
