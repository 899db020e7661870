"""A daemon with an image, for the suites of the supervisor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.daemon import RunningDaemon
from tests.support.supervision import Place


@pytest.fixture(scope="package")
def supervised_daemon() -> Iterator[Place]:
    with RunningDaemon() as daemon:
        yield Place(daemon)


@pytest.fixture
def place(supervised_daemon: Place) -> Iterator[Place]:
    yield supervised_daemon
    supervised_daemon.pyctr.clean()


@pytest.fixture
def own() -> Iterator[Place]:
    with RunningDaemon() as daemon:
        place = Place(daemon)
        yield place
        if daemon.process is None or daemon.process.poll() is not None:
            daemon.process = None
            daemon._environment = {}
            daemon.start()
        place.pyctr.clean()
