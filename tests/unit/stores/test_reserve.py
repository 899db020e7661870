from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pycontainerd.stores.reserve import SIZE, Reserve


def test_it_is_kept_given_up_and_kept_again(tmp_path: Path) -> None:
    path = tmp_path / "r"
    reserve = Reserve(str(path))
    assert not reserve.give_up()
    reserve.keep()
    assert path.stat().st_blocks * 512 >= SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    assert reserve.give_up()
    assert not path.exists()
    reserve.keep()
    assert path.exists()


@pytest.mark.parametrize(("free", "kept"), [(SIZE // 2, SIZE // 2), (SIZE // 3, SIZE // 4), (100, 0)])
def test_it_takes_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, kept: int) -> None:
    def allocate(descriptor: int, _offset: int, size: int) -> None:
        if size > free:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.write(descriptor, b"x" * size)

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    path = tmp_path / "r"
    Reserve(str(path)).keep()
    assert (path.stat().st_size if path.exists() else 0) == kept
