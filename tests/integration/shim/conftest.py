"""The fixtures of the shim's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.shim.harness import Host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def host() -> Iterator[Host]:
    """A template with the default runtime."""
    with Host() as made:
        yield made


@pytest.fixture(params=["crun", "runc"])
def each_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A template with each of the runtimes."""
    with Host(runtime=request.param) as made:
        yield made
