"""A daemon with a busybox image, and pyctr on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.pyctr import Pyctr
from tests.support.daemon import RunningDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def e2e_daemon() -> Iterator[RunningDaemon]:
    """One daemon for the package; tests leave it as they found it."""
    with RunningDaemon() as running:
        Pyctr(running).load_busybox()
        yield running


@pytest.fixture
def pyctr(e2e_daemon: RunningDaemon) -> Iterator[Pyctr]:
    """pyctr on the shared daemon; containers that a test leaves are removed."""
    program = Pyctr(e2e_daemon)
    yield program
    program.clean()


@pytest.fixture
def own(daemon: RunningDaemon) -> Iterator[Pyctr]:
    """pyctr on a daemon of its own, which the test may kill."""
    program = Pyctr(daemon)
    program.load_busybox()
    yield program
    if daemon.process is None:
        daemon.start()
    program.clean()
