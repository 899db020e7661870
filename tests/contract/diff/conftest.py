from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Engines, engines


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Engines]:
    with engines(tmp_path) as found:
        yield found


@pytest.fixture(params=["overlayfs", "native"])
def snapshotter(request: pytest.FixtureRequest) -> str:
    return str(request.param)
