"""The shim's log fifo."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from pycontainerd.runtime.logfifo import LogFifo


@pytest.mark.asyncio
async def test_lines_arrive_whole_and_the_rest_at_the_end(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    os.mkfifo(path)
    lines: list[str] = []
    fifo = LogFifo(path, lines.append)
    writer = os.open(path, os.O_WRONLY)
    os.write(writer, b"one\ntw")
    await asyncio.sleep(0.02)
    assert lines == ["one"]
    os.write(writer, b"o\n\n\xff\nrest")
    await asyncio.sleep(0.02)
    assert lines == ["one", "two", "\ufffd"]
    os.write(writer, b" more")
    os.close(writer)
    fifo.close()
    fifo.close()
    assert lines[-1] == "rest more"


@pytest.mark.asyncio
async def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    os.mkfifo(path)
    lines: list[str] = []
    fifo = LogFifo(path, lines.append)
    writer = os.open(path, os.O_WRONLY)
    os.write(writer, b"x" * 40000)
    await asyncio.sleep(0.05)
    os.close(writer)
    fifo.close()
    assert "".join(lines) == "x" * 40000
    assert max(map(len, lines)) <= 32 << 10


@pytest.mark.asyncio
async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "real")
    os.symlink(tmp_path / "real", tmp_path / "log")
    with pytest.raises(OSError, match="log"):
        LogFifo(str(tmp_path / "log"), print)
