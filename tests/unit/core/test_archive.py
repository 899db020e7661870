"""What an OCI spec says of mounts."""

from __future__ import annotations

from typing import Any

from pycontainerd.core.archive import Bind, binds_of, binds_of_entries, mount_points

SPEC = {
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/a/b", "type": "bind", "source": "/two", "options": ["rbind", "ro"]},
        {"destination": "/a", "source": "/one", "options": ["bind"]},
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
        {"destination": "/r", "type": "bind", "source": "relative"},
        "nonsense",
    ]
}


def test_binds_outer_ones_first() -> None:
    assert binds_of(SPEC) == (Bind("/one", "/a"), Bind("/two", "/a/b", readonly=True))
    assert binds_of({}) == binds_of({"mounts": None}) == ()


def test_mount_points_and_their_parents() -> None:
    assert mount_points(SPEC) == ["/a", "/a/b", "/proc", "/r", "/t"]


def test_entries() -> None:
    entries: list[dict[str, Any]] = [
        {"type": "volume", "volume": "v", "target": "/v/deep", "subpath": "s"},
        {"type": "volume", "volume": "gone", "target": "/g"},
        {"type": "bind", "source": "/host", "target": "/b", "readonly": True},
        {"type": "tmpfs", "target": "/t"},
    ]
    found = binds_of_entries(entries, lambda name: "/volumes/v" if name == "v" else "")
    assert found == (Bind("/host", "/b", readonly=True), Bind("/volumes/v/s", "/v/deep"))
