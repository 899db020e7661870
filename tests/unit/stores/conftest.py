"""A database of its own for every test, and a publisher that remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pycontainerd.stores.database import Database
from pycontainerd.stores.schema import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycontainerd.core.events import EventMessage


class Heard(list[tuple[str, str, "EventMessage"]]):
    """Published events: (namespace, topic, message)."""

    def publish(self, namespace: str, topic: str, message: EventMessage) -> None:
        self.append((namespace, topic, message))

    @property
    def topics(self) -> list[str]:
        return [topic for _, topic, _ in self]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(str(tmp_path / "meta.db"), STEPS)
    yield opened
    opened.close()


@pytest.fixture
def heard() -> Heard:
    return Heard()
