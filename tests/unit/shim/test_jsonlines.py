"""Docker's json-file lines, made from blocks and held against the json package."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.stdio.jsonlines import MAX_LINE, Encoder, escape

pieces = st.lists(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: (text + "\n").encode()), max_size=12)


def decoded(blocks: list[bytes]) -> list[str]:
    return [json.loads(line)["log"] for line in b"".join(blocks).splitlines()]


@given(pieces)
@example([b"\r\n\x00\x1f\x7f", b"\\n\n", b'"\n'])
def test_nothing_is_lost_however_the_blocks_fall(data: list[bytes]) -> None:
    encoder = Encoder("stdout")
    logs = decoded([encoder.feed(piece) for piece in data] + [encoder.finish()])
    whole = b"".join(data)
    expected = [line.decode("utf-8", "replace") + "\n" for line in whole.split(b"\n")]
    expected[-1] = expected[-1][:-1]
    assert logs == [line for line in expected if line]


@given(st.binary(max_size=200))
def test_escape_is_jsons(text: bytes) -> None:
    plain = text.replace(b"\n", b"")
    assert json.loads(b'"' + escape(plain) + b'"') == plain.decode("utf-8", "replace")


@pytest.mark.parametrize("unit", ["x", "é", "漢", "🙂"])
def test_long_lines_are_cut_between_characters(unit: str) -> None:
    text = unit * (3 * MAX_LINE // len(unit.encode())) + "end"
    encoder = Encoder("stderr")
    raw = (text + "\nnext\n").encode()
    logs = decoded([encoder.feed(raw[at : at + 5000]) for at in range(0, len(raw), 5000)])
    assert "".join(logs) == text + "\nnext\n"
    assert all(len(log.encode()) <= MAX_LINE + 1 for log in logs)
    assert [log.endswith("\n") for log in logs] == [False] * (len(logs) - 2) + [True, True]


@pytest.mark.parametrize("size", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 5 * MAX_LINE])
def test_a_long_line_in_one_block_with_others(size: int) -> None:
    encoder = Encoder("stdout")
    logs = decoded([encoder.feed(b"a\n" + b"x" * size + b"\nb\n")])
    assert "".join(logs) == "a\n" + "x" * size + "\nb\n"
    assert max(len(log) for log in logs) <= MAX_LINE + 1


def test_stream_time_and_attributes() -> None:
    line = json.loads(Encoder("stderr", {"b": '"2"', "a": "1"}).feed(b"x\n"))
    assert list(line) == ["log", "stream", "attrs", "time"]
    assert line["stream"] == "stderr"
    assert line["attrs"] == {"a": "1", "b": '"2"'}
    assert datetime.fromisoformat(line["time"].replace("Z", "+00:00")).year >= 2024
