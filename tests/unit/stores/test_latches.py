"""Locks by name."""

from __future__ import annotations

import threading
from itertools import permutations

from pycontainerd.stores.latches import Latches


def test_one_at_a_time_and_no_two_wait_for_each_other() -> None:
    latches = Latches()
    inside: dict[str, int] = {}
    worst = 0

    def work(keys: tuple[str, ...]) -> None:
        nonlocal worst
        for _ in range(50):
            with latches.hold([*keys, keys[0]]):
                for key in keys:
                    inside[key] = inside.get(key, 0) + 1
                    worst = max(worst, inside[key])
                for key in keys:
                    inside[key] -= 1

    threads = [threading.Thread(target=work, args=(keys,)) for keys in permutations("abc", 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert worst == 1
    assert not latches._locks
