from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Engines, engines
from tests.support.fakeregistry import FakeRegistry, fake_registry
from tests.support.registry import RegistryServer, registry


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Engines]:
    with engines(tmp_path) as found:
        yield found


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with fake_registry() as found:
        yield found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found
