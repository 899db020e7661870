"""The native driver's mounts and failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.core.snapshots import Kind
from pycontainerd.core.values import Mount
from snapshotter import native
from snapshotter.native import NativeDriver

pytestmark = pytest.mark.root


@pytest.fixture
def driver(tmp_path: Path) -> NativeDriver:
    return NativeDriver(str(tmp_path / "root"))


def test_mounts_are_binds(driver: NativeDriver) -> None:
    base = f"{driver.root}/snapshots"

    assert driver.mounts("2", ["1"], Kind.ACTIVE, {}) == [Mount("bind", f"{base}/2", options=("rbind", "rw"))]
    assert driver.mounts("2", ["1"], Kind.VIEW, {}) == [Mount("bind", f"{base}/1", options=("rbind", "ro"))]
    assert driver.mounts("2", [], Kind.VIEW, {}) == [Mount("bind", f"{base}/2", options=("rbind", "ro"))]


def test_preparing_again_starts_anew(driver: NativeDriver) -> None:
    driver.prepare("1", [], Kind.ACTIVE, {})
    base = Path(driver.root) / "snapshots"
    (base / "1" / "file").write_text("")
    (base / "2").mkdir()
    (base / "2" / "half").write_text("")

    driver.prepare("2", ["1"], Kind.ACTIVE, {})

    assert [path.name for path in (base / "2").iterdir()] == ["file"]


def test_a_copy_that_fails_leaves_nothing(driver: NativeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.prepare("1", [], Kind.ACTIVE, {})

    def fail(source: str, target: str) -> None:
        (Path(target) / "half").write_text("")
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(native, "copy_tree", fail)
    with pytest.raises(OSError, match="No space"):
        driver.prepare("2", ["1"], Kind.ACTIVE, {})

    assert driver.ids() == ["1"]
