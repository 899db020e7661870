"""Which containerd the tests meet: Debian's, which is installed, and newer ones that need not be.

``PYCONTAINERD_PEERS`` names directories (separated by colons), each with the programs ``containerd``, ``ctr`` and
``containerd-shim-runc-v2`` of one version, and with ``runc`` and ``crun`` if they are to be met, too. A test that asks
for the fixture ``peer`` runs once with what is installed and once with each of them first on the PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "PYCONTAINERD_PEERS"
INSTALLED = Path("/usr/bin")


@dataclass(frozen=True)
class Peer:
    """One version: ``folder`` has its programs."""

    folder: Path

    @property
    def shim(self) -> str:
        """Its shim's path."""
        return str(self.folder / "containerd-shim-runc-v2")

    @property
    def version(self) -> tuple[int, int]:
        """Of containerd, as (2, 1)."""
        told = subprocess.run(["containerd", "--version"], capture_output=True, text=True, check=True).stdout
        found = re.search(r" v?(\d+)\.(\d+)\.\d", told)
        assert found, told
        return int(found[1]), int(found[2])


def folders() -> list[Path]:
    """The directories that the environment names."""
    return [Path(name) for name in os.environ.get(VARIABLE, "").split(":") if name]


def parameters() -> list[Any]:
    """Of the fixture: the installed peer, and the others or a skipped place for them."""
    unnamed = pytest.param(None, id="newer", marks=pytest.mark.skip(f"{VARIABLE} names no directory"))
    others = [pytest.param(Peer(folder), id=folder.name) for folder in folders()]
    return [pytest.param(Peer(INSTALLED), id="debian"), *(others or [unnamed])]


@pytest.fixture(scope="module", params=parameters())
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """A containerd whose programs come first on the PATH while the module's tests run."""
    found: Peer = request.param
    if shutil.which("containerd", path=str(found.folder)) is None:
        pytest.skip(f"there is no containerd in {found.folder}")
    before = os.environ["PATH"]
    if found.folder != INSTALLED:
        os.environ["PATH"] = f"{found.folder}:{before}"
    try:
        yield found
    finally:
        os.environ["PATH"] = before
