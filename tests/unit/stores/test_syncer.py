"""Background work: once for many requests, and never forgotten."""

from __future__ import annotations

import threading

from pycontainerd.stores.syncer import Syncer


def test_many_requests_are_one_run() -> None:
    runs: list[int] = []
    syncer = Syncer("test", lambda: runs.append(1), delay=0.05)
    for _ in range(20):
        syncer.request()

    syncer.close()

    assert runs == [1]


def test_a_request_during_the_work_is_another_run() -> None:
    started, go_on = threading.Event(), threading.Event()
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        started.set()
        assert go_on.wait(5)

    syncer = Syncer("test", work, delay=0.01)
    syncer.request()
    assert started.wait(5)
    syncer.request()
    go_on.set()
    syncer.close()

    assert runs == [1, 1]


def test_failure_does_not_end_it() -> None:
    runs: list[int] = []
    done = threading.Event()

    def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            syncer.request()
            raise OSError(5, "Input/output error")
        done.set()

    syncer = Syncer("test", work, delay=0.01)
    syncer.request()

    assert done.wait(5)
    syncer.close()


def test_closing_with_nothing_to_do_is_quick() -> None:
    syncer = Syncer("test", lambda: None)
    syncer.close()
    syncer.request()
    syncer.close()
