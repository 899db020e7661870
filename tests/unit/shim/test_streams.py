"""Streams on pipes, without a container: back-pressure, clients that stand still, the end of input."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from shim.children import Children
from shim.log import Log
from shim.loop import Loop
from shim.stdio.attach import BEHIND, AttachSink
from shim.stdio.input import Input, Source
from shim.stdio.output import Output
from shim.stdio.rotating import RotatingFile, options_of
from shim.stdio.sinks import fifo_sink
from shim.stdio.uri import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def loop() -> Loop:
    return Loop(Log("error"))


def turn_until(loop: Loop, condition: Callable[[], bool], limit: float = 5.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        loop.later(0.01, lambda: None)
        loop.turn()


def source_pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


def fill(fd: int) -> int:
    """Write until the pipe is full."""
    total = 0
    try:
        while True:
            total += os.write(fd, b"x" * 4096)
    except BlockingIOError:
        return total


def fifo(path: Path) -> tuple[str, int]:
    os.mkfifo(path)
    return str(path), os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def test_a_full_fifo_stops_the_container_and_an_emptied_one_lets_it_go_on(loop: Loop, tmp_path: Path) -> None:
    read, write = source_pipe()
    path, reader = fifo(tmp_path / "f")
    output = Output(loop, read, [fifo_sink(loop, path)])
    output.start()
    sent = 0
    for _ in range(20):
        sent += fill(write)
        loop.soon(lambda: None)
        loop.turn()
    assert sent < 1 << 20
    got = 0
    os.close(write)

    def drain() -> bool:
        nonlocal got
        try:
            got += len(os.read(reader, 1 << 20))
        except BlockingIOError:
            pass
        return output.ended.done

    turn_until(loop, drain)
    while chunk := os.read(reader, 1 << 20):
        got += len(chunk)
    os.close(reader)
    assert got == sent


def read_all(fd: int) -> bytes:
    """What is in a pipe now."""
    got = b""
    try:
        while chunk := os.read(fd, 1 << 20):
            got += chunk
    except BlockingIOError:
        pass
    return got


def pump(loop: Loop, write: int, size: int) -> int:
    """Write to a pipe, in turns with the loop, until `size` bytes are in or nothing is taken any more."""
    sent = 0
    for _ in range(20 + size // 4096):
        sent += fill(write)
        loop.soon(lambda: None)
        loop.turn()
        if sent >= size:
            break
    return sent


def test_a_client_that_stands_still_misses_output_and_stops_nobody(loop: Loop, tmp_path: Path) -> None:
    read, write = source_pipe()
    path, reader = fifo(tmp_path / "f")
    second, other = fifo(tmp_path / "g")
    output = Output(loop, read, [])
    output.add(AttachSink(loop, path))
    output.add(AttachSink(loop, second))
    output.start()
    sent = seen = 0
    while sent < 4 * BEHIND:
        sent += pump(loop, write, 4096)
        seen += len(read_all(other))
    got = b""

    def caught_up() -> bool:
        nonlocal got, seen
        got += read_all(reader)
        seen += len(read_all(other))
        return b"did not keep up" in got and seen == sent

    turn_until(loop, caught_up)
    start, _, rest = got.partition(b"\r\n[")
    missing = int(rest.split()[0])
    assert BEHIND <= len(start) <= BEHIND + (128 << 10)
    assert len(start) + missing == sent
    os.write(write, b"and on")
    got = b""
    turn_until(loop, lambda: read_all(reader).endswith(b"and on"))
    os.close(write)
    turn_until(loop, lambda: output.ended.done)
    os.close(reader)
    os.close(other)


def test_many_small_writes_are_held_as_few_objects(loop: Loop, tmp_path: Path) -> None:
    path, reader = fifo(tmp_path / "f")
    sink = AttachSink(loop, path)
    sink.write(b"x" * (1 << 20))
    for _ in range(20_000):
        sink.write(b"little")
    assert len(sink._held) < 60
    sink.abandon()
    os.close(reader)


def test_a_client_that_is_waited_for_gets_everything(loop: Loop, tmp_path: Path) -> None:
    read, write = source_pipe()
    path, reader = fifo(tmp_path / "f")
    output = Output(loop, read, [])
    output.add(AttachSink(loop, path, waited_for=True))
    output.start()
    sent = pump(loop, write, 4 * BEHIND)
    assert BEHIND < sent < 2 * BEHIND, "the process waits"
    got = 0

    def slowly() -> bool:
        nonlocal sent, got
        if sent < 4 * BEHIND:
            sent += fill(write)
        got += len(os.read(reader, 50_000))
        return sent >= 4 * BEHIND

    turn_until(loop, slowly)
    os.close(write)

    def rest() -> bool:
        nonlocal got
        got += len(read_all(reader))
        return output.ended.done

    turn_until(loop, rest)
    assert got + len(read_all(reader)) == sent
    os.close(reader)


def test_a_client_that_is_waited_for_and_dies_lets_the_process_go_on(loop: Loop, tmp_path: Path) -> None:
    read, write = source_pipe()
    path, reader = fifo(tmp_path / "f")
    output = Output(loop, read, [])
    output.add(AttachSink(loop, path, waited_for=True))
    output.start()
    pump(loop, write, 4 * BEHIND)
    os.close(reader)
    assert pump(loop, write, 4 * BEHIND) >= 4 * BEHIND
    os.close(write)
    turn_until(loop, lambda: output.ended.done)


def test_close_stdin_passes_on_what_was_written_first(loop: Loop, tmp_path: Path) -> None:
    read, write = source_pipe()
    path = str(tmp_path / "in")
    os.mkfifo(path)
    stdin = Input(loop, write, terminal=False)
    stdin.add(Source(path, attached=False))
    client = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(client, b"a" * 1000)
    stdin.close_stdin()
    stdin.start()
    got = b""

    def taken() -> bool:
        nonlocal got
        try:
            got += os.read(read, 65536)
        except BlockingIOError:
            pass
        return len(got) == 1000

    turn_until(loop, taken)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)  # the client has not closed: more may come
    os.write(client, b"end")
    os.close(client)
    ended: list[bytes] = []

    def over() -> bool:
        try:
            ended.append(os.read(read, 100))
        except BlockingIOError:
            return False
        return ended[-1] == b""

    turn_until(loop, over)
    assert b"".join(ended) == b"end"
    os.close(read)


def test_attached_clients_come_and_go_without_ending_the_input(loop: Loop, tmp_path: Path) -> None:
    read, write = source_pipe()
    stdin = Input(loop, write, terminal=False)
    stdin.start()
    for name in ("one", "two"):
        path = str(tmp_path / name)
        os.mkfifo(path)
        stdin.add(Source(path, attached=True))
        client = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(client, name.encode())
        os.close(client)
        got: list[bytes] = []

        def arrived(got: list[bytes] = got) -> bool:
            try:
                got.append(os.read(read, 100))
            except BlockingIOError:
                return False
            return True

        turn_until(loop, arrived)
        assert got == [name.encode()]
    stdin.close_stdin()
    turn_until(loop, lambda: os.read(read, 1) == b"")
    os.close(read)


def test_what_a_full_disk_does_not_take_is_counted_in_the_log(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    children = Children.__new__(Children)  # nothing is rotated, so none is started
    file = RotatingFile(str(path), options_of(parse(f"json-file://{path}")), children, Log("error"))

    def note(text: str) -> bytes:
        return text.encode() + b"\n"

    file.write(b"first\n", 6, note)
    real = os.write
    taken: list[int] = []

    def full(fd: int, data: bytes) -> int:
        if fd == 2:
            return len(data)  # the shim's own log
        if not taken:
            taken.append(real(fd, bytes(data)[:3]))
            return taken[0]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    file.write(b"second line\n", 12, note)
    file.write(b"third\n", 6, note)
    monkeypatch.setattr(os, "write", real)
    file.write(b"fourth\n", 7, note)
    assert path.read_text().splitlines() == [
        "first",
        "[18 bytes of output were lost here: the log could not be written]",
        "fourth",
    ]
