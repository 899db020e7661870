"""Project quotas on filesystems made for them, where the kernel has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.linux import quota
from tests.support.filesystems import filesystem, fill

pytestmark = pytest.mark.root


def test_where_there_is_none(tmp_path: Path) -> None:
    assert not quota.enforced("/proc")
    assert not quota.enforced(str(tmp_path / "nowhere"))
    with filesystem(tmp_path, "ext4") as plain:
        assert not quota.enforced(str(plain))
        with pytest.raises(OSError, match=r"quota|project"):
            quota.limit(str(plain), 1 << 20)


@pytest.mark.parametrize("kind", ["ext4-quota", "xfs-quota"])
def test_a_limit_binds_the_tree_and_nothing_else(tmp_path: Path, kind: str) -> None:
    with filesystem(tmp_path, kind) as root:
        assert quota.enforced(str(root))
        for name in ("one", "two"):
            (root / name).mkdir()
        first, second = quota.limit(str(root / "one"), 2 << 20), quota.limit(str(root / "two"), 4 << 20)
        assert first != second
        (root / "one/sub").mkdir()

        assert fill(root / "one/sub/file", 8 << 20) <= 2 << 20
        assert (2 << 20) < fill(root / "two/file", 8 << 20) <= 4 << 20
        assert fill(root / "free", 8 << 20) == 8 << 20
        space, allowed = quota.used(str(root / "one"))
        assert space <= allowed == 2 << 20
        assert quota.project(str(root / "one/sub")) == first

        assert quota.limit(str(root / "one"), 3 << 20) == first
        assert quota.used(str(root / "one"))[1] == 3 << 20
        (root / "one/sub/file").unlink()
        quota.release(str(root), first)
        assert fill(root / "one/file", 8 << 20) == 8 << 20
