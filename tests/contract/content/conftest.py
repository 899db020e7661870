"""The content stores that the suite runs on: the real one, on a real file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pycontainerd.stores.content import Content
from pycontainerd.stores.database import Database
from pycontainerd.stores.leases import Leases
from pycontainerd.stores.namespaces import Namespaces
from pycontainerd.stores.schema import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycontainerd.core.content import ContentStore
    from pycontainerd.core.events import EventMessage


class Stage:
    """A content store with what surrounds it; ``restart`` opens the same files again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heard: list[tuple[str, str, EventMessage]] = []
        self.open()

    def open(self, *, isolated: bool = False) -> None:
        self.database = Database(str(self.root / "meta.db"), STEPS)
        self.leases = Leases(self.database)
        self.namespaces = Namespaces(self.database)
        self.content = Content(
            self.database,
            str(self.root / "content"),
            lambda namespace, topic, message: self.heard.append((namespace, topic, message)),
            isolated=isolated,
        )
        self.store: ContentStore = self.content

    def close(self) -> None:
        self.database.close()

    def restart(self, *, isolated: bool = False) -> None:
        self.close()
        self.open(isolated=isolated)

    def blob_files(self) -> set[str]:
        return {path.name for path in (self.root / "content" / "blobs").glob("*/*")}

    def ingest_directories(self) -> int:
        return len(list((self.root / "content" / "ingest").iterdir()))

    def put(self, namespace: str, data: bytes, **labels: str) -> str:
        with self.store.writer(namespace, f"put-{len(data)}-{hash(data)}") as writer:
            writer.write(data)
            return writer.commit(size=len(data), labels=labels)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()
