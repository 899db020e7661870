from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from pycontainerd.daemon import notify

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears_each_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@pc-notify-{tmp_path.name}" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert notify.ready("up")
        assert manager.recv(1000) == b"READY=1\nSTATUS=up"
        assert notify.reloading()
        assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert notify.stopping()
        assert manager.recv(1000).startswith(b"STOPPING=1\n")


@pytest.mark.parametrize("path", ["", "relative", "/no/such/socket"])
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    assert not notify.ready("up")
