"""The kubelet's log format, made from blocks and held against a line-by-line model."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.stdio.crilines import LONGEST, MAX_LINE, CriEncoder

pieces = st.lists(st.text("ab\r\n", max_size=40).map(str.encode) | st.binary(max_size=30), max_size=12)


def parsed(data: bytes) -> list[tuple[str, bytes]]:
    """Tag and text of each line."""
    result = []
    for line in data.split(b"\n")[:-1]:
        stamp, stream, tag, text = line.split(b" ", 3)
        assert stamp.endswith(b"Z")
        assert stream == b"stdout"
        result.append((tag.decode(), text))
    return result


def model(data: bytes, limit: int) -> list[tuple[str, bytes]]:
    """Line by line: a carriage return before the newline goes, what is longer than the limit is cut."""
    *lines, rest = data.split(b"\n")
    result: list[tuple[str, bytes]] = []
    for number, line in enumerate([*lines, rest]):
        last = number == len(lines)
        text = line if last else line.removesuffix(b"\r")
        if last and not text:
            break
        while len(text) > limit:
            result.append(("P", text[:limit]))
            text = text[limit:]
        result.append(("P" if last else "F", text))
    return result


@given(pieces, st.integers(1, 12))
@example([b"abcd\r", b"\n"], 4)
@example([b"abcdabcd\r", b"\n"], 4)
@example([b"abcd\r\r\n\n"], 4)
def test_lines_are_those_of_the_model_however_the_blocks_fall(data: list[bytes], limit: int) -> None:
    encoder = CriEncoder("stdout", limit)
    out = b"".join([encoder.feed(piece) for piece in data] + [encoder.finish()])
    assert parsed(out) == model(b"".join(data), limit)


def test_the_default_limit_and_none() -> None:
    text = b"x" * (3 * MAX_LINE)
    encoder = CriEncoder("stdout")
    assert [len(part) for _, part in parsed(encoder.feed(text + b"\n"))] == [MAX_LINE] * 3
    encoder = CriEncoder("stdout", -1)
    assert parsed(encoder.feed(text + b"\n")) == [("F", text)]
    assert encoder.feed(b"y" * (LONGEST + 2)) != b"", "memory has a bound all the same"
    assert encoder.waiting == 2


def test_stamp_and_stream() -> None:
    stamp, stream, tag, text = CriEncoder("stderr").feed(b"one two \n").split(b" ", 3)
    assert (stream, tag, text) == (b"stderr", b"F", b"one two \n")
    fraction = stamp.decode().removesuffix("Z").partition(".")[2]
    assert not fraction.endswith("0")
    assert datetime.fromisoformat(stamp.decode()[:19]).year >= 2024


@pytest.mark.parametrize("encoder", [CriEncoder("stdout")])
def test_a_note_is_a_line(encoder: CriEncoder) -> None:
    assert parsed(encoder.note("[5 bytes]")) == [("F", b"[5 bytes]")]
