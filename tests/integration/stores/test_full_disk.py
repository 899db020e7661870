"""A disk that is really full: clear errors, nothing lost, and work goes on once there is space."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pycontainerd.core.containers import Container
from pycontainerd.core.errors import ResourceExhausted
from pycontainerd.core.values import AnyValue

from .workload import NAMESPACE, Stores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def create(stores: Stores, name: str) -> None:
    """Create a container of a size that fills small disks."""
    stores.containers.create(NAMESPACE, Container(name, runtime="r", spec=AnyValue("spec", b"x" * 20_000)))


def fill(stores: Stores) -> list[str]:
    """Create containers until the disk is full; return the ids that were acknowledged."""
    made: list[str] = []

    def go_on() -> None:
        for number in range(1000):
            create(stores, f"c{number}")
            made.append(f"c{number}")

    with pytest.raises(ResourceExhausted, match="no space left"):
        go_on()
    return made


def pour(stores: Stores) -> None:
    """Write to an ingest without end."""
    with stores.content.writer(NAMESPACE, "big") as writer:
        while True:
            writer.write(b"y" * 65536)


@pytest.mark.root
def test_a_full_disk(small_disk: Path) -> None:
    stores = Stores(str(small_disk))
    try:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * (1 << 20))
        made = fill(stores)
        assert len(made) > 10
        with pytest.raises(ResourceExhausted, match="no space left"):
            pour(stores)
        assert sorted(container.id for container in stores.containers.list(NAMESPACE)) == sorted(made)
        ballast.unlink()
        stores.content.abort(NAMESPACE, "big")
        for name in made[:10]:
            stores.containers.delete(NAMESPACE, name)
        create(stores, "again")
    finally:
        stores.database.close()
    stores = Stores(str(small_disk))
    assert {container.id for container in stores.containers.list(NAMESPACE)} == {*made[10:], "again"}
    stores.database.close()
