"""The journal's protocol, and a sink whose journal is a socket of ours: full, gone, back, too small for an entry."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.log import Log
from shim.loop import Loop
from shim.stdio.journald import MAX_LINE, Entries, JournalSink, field, field_name
from shim.stdio.sinks import Buffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def fields(entry: bytes) -> dict[str, bytes]:
    """The protocol read back."""
    found: dict[str, bytes] = {}
    while entry:
        head, _, rest = entry.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if equals:
            found[name.decode()] = value
            entry = rest
            continue
        (size,) = struct.unpack("<Q", rest[:8])
        found[name.decode()] = rest[8 : 8 + size]
        assert rest[8 + size : 9 + size] == b"\n"
        entry = rest[9 + size :]
    return found


@given(st.binary())
def test_any_value_can_be_in_a_field(value: bytes) -> None:
    assert fields(field("X", value) + field("Y", b"1")) == {"X": value, "Y": b"1"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("team", "TEAM"),
        ("com.example/x-y", "COM_EXAMPLE_X_Y"),
        ("_hidden", "HIDDEN"),
        ("1st", "ST"),
        ("é", ""),
        ("", ""),
    ],
)
def test_names_the_journal_takes(text: str, name: str) -> None:
    assert field_name(text) == name


@given(st.lists(st.binary(max_size=50) | st.just(b"x" * (MAX_LINE + 7)), max_size=8))
def test_nothing_is_lost_however_the_blocks_fall(data: list[bytes]) -> None:
    entries = Entries("stdout", {})
    sent = [fields(entry) for piece in data for entry in entries.feed(piece)]
    sent += [fields(entry) for entry in entries.finish()]
    whole = b"".join(data)
    text = b"".join(e["MESSAGE"] + (b"" if e.get("CONTAINER_PARTIAL_MESSAGE") else b"\n") for e in sent)
    assert text == whole
    assert all(len(e["MESSAGE"]) <= MAX_LINE for e in sent)


def test_parts_of_a_line_belong_together() -> None:
    sent = [
        fields(entry) for entry in Entries("stderr", {"team": "a\nb"}).feed(b"x" * (2 * MAX_LINE + 1) + b"\nnext\n")
    ]
    assert [entry.get("CONTAINER_PARTIAL_ORDINAL") for entry in sent] == [b"1", b"2", b"3", None]
    assert [entry.get("CONTAINER_PARTIAL_LAST") for entry in sent] == [b"false", b"false", b"true", None]
    assert len({entry["CONTAINER_PARTIAL_ID"] for entry in sent[:3]}) == 1
    assert [entry["PRIORITY"] for entry in sent] == [b"3"] * 4
    assert sent[0]["TEAM"] == b"a\nb"


class Journal:
    """The journal's socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def read(self) -> list[dict[str, bytes]]:
        """What has come, memory files included."""
        found: list[dict[str, bytes]] = []
        while True:
            try:
                data, descriptors, _flags, _address = socket.recv_fds(self.socket, 1 << 20, 1)
            except BlockingIOError:
                return found
            for fd in descriptors:
                data = os.pread(fd, 1 << 24, 0)
                os.close(fd)
            found.append(fields(data))

    def close(self) -> None:
        self.socket.close()
        self.path.unlink()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "socket")
    yield made
    made.socket.close()


def turn_until(loop: Loop, condition: Callable[[], bool], limit: float = 5.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        loop.later(0.01, lambda: None)
        loop.turn()


def sink_on(loop: Loop, journal: Journal, patience: float = 10.0, **attributes: str) -> JournalSink:
    return JournalSink(loop, Log("panic"), str(journal.path), Entries("stdout", attributes), patience)


def fill(sink: JournalSink | Buffer, most: int = 100_000) -> int:
    """Write lines until the sink is full; how many were written."""
    for number in range(most):
        if not sink.write(b"line %d\n" % number):
            return number + 1
    return most


def test_the_container_waits_for_a_full_journal(journal: Journal) -> None:
    loop = Loop(Log("panic"))
    sink = sink_on(loop, journal, CONTAINER_NAME="web")
    ready: list[bool] = []
    sink.ready = lambda: ready.append(True)
    written = fill(sink)
    got: list[dict[str, bytes]] = []

    def drained() -> bool:
        got.extend(journal.read())
        return bool(ready)

    turn_until(loop, drained)
    over: list[bool] = []
    sink.write(b"rest")
    sink.finish(lambda: over.append(True))
    got += journal.read()
    assert over
    assert [e["MESSAGE"] for e in got] == [b"line %d" % n for n in range(written)] + [b"rest"]
    assert got[0]["CONTAINER_NAME"] == b"web"
    assert got[-1]["CONTAINER_PARTIAL_MESSAGE"] == b"true"


def test_a_journal_that_stands_still_is_not_waited_for_for_ever(journal: Journal) -> None:
    loop = Loop(Log("panic"))
    sink = sink_on(loop, journal, patience=0.1)
    ready: list[bool] = []
    sink.ready = lambda: ready.append(True)
    written = fill(sink)
    turn_until(loop, lambda: bool(ready))
    assert sink.write(b"dropped\n"), "from now on nothing waits"
    got = journal.read()
    assert sink.write(b"again\n")
    got += journal.read()
    messages = [entry["MESSAGE"] for entry in got]
    assert messages[: written - 1] == [b"line %d" % number for number in range(written - 1)]
    lost = len(b"line %d\n" % (written - 1)) + len(b"dropped\n")
    assert messages[-2:] == [b"[%d bytes of output were lost here: the journal did not take them]" % lost, b"again"]
    sink.abandon()


def test_a_journal_that_is_restarted(journal: Journal) -> None:
    loop = Loop(Log("panic"))
    sink = sink_on(loop, journal)
    assert sink.write(b"one\n")
    journal.close()
    assert sink.write(b"lost\n")
    again = Journal(journal.path)
    assert sink.write(b"two\n")
    messages = [entry["MESSAGE"] for entry in again.read()]
    assert messages == [b"[5 bytes of output were lost here: the journal did not take them]", b"two"]
    sink.abandon()
    again.close()


def test_an_entry_too_large_for_a_datagram_comes_as_a_file(journal: Journal) -> None:
    sink = sink_on(Loop(Log("panic")), journal, BIG="x" * 500_000)
    assert sink.write(b"hello\n")
    (entry,) = journal.read()
    assert entry["MESSAGE"] == b"hello"
    assert len(entry["BIG"]) == 500_000
    sink.abandon()


def test_nobody_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="does not listen"):
        JournalSink(Loop(Log("panic")), Log("panic"), str(tmp_path / "no"), Entries("stdout", {}))


def test_the_non_blocking_policy_drops_and_tells(journal: Journal) -> None:
    loop = Loop(Log("panic"))
    sink = sink_on(loop, journal)
    buffer = Buffer(sink, 1000)
    count = 3000
    assert fill(buffer, count) == count, "it never waits"
    got: list[bytes] = []

    def told() -> bool:
        got.extend(entry["MESSAGE"] for entry in journal.read())
        return bool(got) and b"did not keep up" in got[-1]

    turn_until(loop, told)
    *lines, note = got
    assert lines == [b"line %d" % number for number in range(len(lines))]
    dropped = sum(len(b"line %d\n" % number) for number in range(len(lines), count))
    assert int(note[1:].split()[0]) == dropped
    buffer.write(b"next\n")
    over: list[bool] = []
    buffer.finish(lambda: over.append(True))
    assert over
    assert [entry["MESSAGE"] for entry in journal.read()] == [b"next"]


def test_what_a_buffer_holds_is_sent_at_the_end(journal: Journal) -> None:
    loop = Loop(Log("panic"))
    buffer = Buffer(sink_on(loop, journal), 1 << 20)
    fill(buffer, 2000)
    over: list[bool] = []
    buffer.finish(lambda: over.append(True))
    got: list[bytes] = []

    def done() -> bool:
        got.extend(entry["MESSAGE"] for entry in journal.read())
        return bool(over)

    turn_until(loop, done)
    got.extend(entry["MESSAGE"] for entry in journal.read())
    assert got == [b"line %d" % number for number in range(2000)]
