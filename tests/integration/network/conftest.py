"""A world and a daemon in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.network.world import NetDaemon, World, world_at


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_at(tmp_path) as made:
        yield made


@pytest.fixture
def host(world: World) -> Iterator[NetDaemon]:
    """A daemon in the world; every container of a test is removed by it or with it."""
    daemon = NetDaemon(world)
    try:
        yield daemon.start()
    finally:
        daemon.close()
