"""Logs are read whole over rotation: a model writes, rotates, compresses and reads at any moment."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ctr.logentries import parse_line
from ctr.logfiles import files_of, read_all, read_tail
from ctr.logfollow import Follower

KEEP = 50


class Model:
    """Writes as the shim does: whole lines, rotation by renaming, compression later and under a new inode."""

    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/x-json.log"
        self.written: list[str] = []
        self._append("")

    def _append(self, text: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text)

    def write(self, count: int) -> None:
        for _ in range(count):
            number = len(self.written)
            line = f"line {number}\n"
            stamp = f"2026-01-01T00:00:{number // 100:02d}Z"  # the shim stamps lines by the block
            self._append(json.dumps({"log": line, "stream": "stdout", "time": stamp}) + "\n")
            self.written.append(line)

    def rotate(self) -> None:
        for number in range(KEEP, 0, -1):
            for suffix in ("", ".gz"):
                name = f"{self.path}.{number}{suffix}"
                if os.path.exists(name):
                    os.rename(name, f"{self.path}.{number + 1}{suffix}")
        os.rename(self.path, f"{self.path}.1")
        self._append("")

    def compress(self) -> None:
        for name in [*Path(self.path).parent.iterdir()]:
            if name.suffix[1:].isdigit():
                with gzip.open(f"{name}.gz", "wb") as packed:
                    packed.write(name.read_bytes())
                name.unlink()


STEPS = st.lists(st.sampled_from(["write", "many", "rotate", "compress", "read"]), max_size=25)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_follower_misses_nothing_and_tells_nothing_twice(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        model = Model(directory)
        model.write(3)
        model.rotate()
        follower = Follower(model.path)
        seen = [entry.log for entry in read_all(model.path, follower)]
        for step in steps:
            if step == "read":
                seen += [entry.log for entry in follower.fresh()]
                assert seen == model.written
            elif step in ("write", "many"):
                model.write(1 if step == "write" else 7)
            else:
                getattr(model, step)()
        seen += [entry.log for entry in follower.fresh()]
        assert seen == model.written
        assert [entry.log for entry in read_all(model.path)] == model.written


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(min_value=0, max_value=30))
def test_the_tail(steps: list[str], count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        model = Model(directory)
        for step in steps:
            if step in ("write", "many"):
                model.write(1 if step == "write" else 7)
            elif step != "read":
                getattr(model, step)()
        wanted = model.written[-count:] if count else []
        assert [entry.log for entry in read_tail(model.path, count)] == wanted
        follower = Follower(model.path)
        assert [entry.log for entry in read_tail(model.path, count, follower)] == wanted
        model.write(2)
        assert [entry.log for entry in follower.fresh()] == model.written[-2:]


def test_a_long_line_in_parts_counts_once(tmp_path: Path) -> None:
    parts = ["first\n", "a" * 10, "b" * 10, "end\n"]
    text = "".join(json.dumps({"log": part, "stream": "stdout", "time": ""}) + "\n" for part in parts)
    path = tmp_path / "x"
    path.write_text(text)
    assert [entry.log for entry in read_tail(str(path), 1)] == parts[1:]


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(
        b'{"log":"a\\n","stream":"stdout","time":"t"}\n{"log":\ngarbage\n{"log":"b\\n","stream":"stderr"}\n{"lo'
    )
    assert [(entry.log, entry.stream) for entry in read_all(str(path))] == [("a\n", "stdout"), ("b\n", "stderr")]
    assert parse_line(b"[]") is None
    assert files_of(str(tmp_path / "no" / "such")) == []
