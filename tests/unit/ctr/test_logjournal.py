"""Reading the journal: journalctl's lines as entries, and journalctl itself in the shape of a script."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from ctr import logjournal
from ctr.errors import Failure

if TYPE_CHECKING:
    from pathlib import Path


def line(message: object, **fields: str) -> str:
    return json.dumps({"MESSAGE": message, "__REALTIME_TIMESTAMP": "1700000000123456", "PRIORITY": "6", **fields})


def test_an_entry() -> None:
    entry = logjournal.parse(line("hello", _PID="1", CONTAINER_NAME="web", TEAM="blue").encode())
    assert entry is not None
    assert (entry.log, entry.stream, entry.time) == ("hello\n", "stdout", "2023-11-14T22:13:20.123456Z")
    assert entry.details == "TEAM=blue"
    error = logjournal.parse(line([104, 105, 255], PRIORITY="3").encode())
    assert error is not None
    assert (error.log.encode("utf-8", "surrogateescape"), error.stream) == (b"hi\xff\n", "stderr")
    part = logjournal.parse(line("part", CONTAINER_PARTIAL_MESSAGE="true").encode())
    assert part is not None
    assert part.log == "part"
    assert logjournal.parse(b"-- nothing --") is None
    assert logjournal.parse(b'{"MESSAGE":"x"}') is None


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to write the body of a script called journalctl; it is the only one to be found."""
    path = tmp_path / "bin/journalctl"
    path.parent.mkdir()
    monkeypatch.setenv("PATH", f"{path.parent}:/bin:/usr/bin")
    return path


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_it_is_asked_for_the_container_and_the_range(journalctl: Path) -> None:
    asked = journalctl.parent / "asked"
    script(journalctl, f"echo \"$@\" > {asked}\necho '{line('one')}'\necho '{line('two')}'")
    entries = list(logjournal.read("abc", 5, since=1_500_000_000, until=2_000_000_000))
    assert [entry.log for entry in entries] == ["one\n", "two\n"]
    words = asked.read_text().split()
    assert {"--lines=5", "--since=@1.500000", "--until=@2.000000", "CONTAINER_ID_FULL=abc", "--output=json"} <= {*words}


def test_following_ends_after_the_container(journalctl: Path) -> None:
    script(journalctl, f"echo '{line('one')}'\nsleep 0.3\necho '{line('two')}'\nexec sleep 1000")
    looks = iter([True, True])
    logs = [entry.log for entry in logjournal.read("abc", -1, alive=lambda: next(looks, False))]
    assert logs == ["one\n", "two\n"]


def test_a_reader_that_leaves_ends_it(journalctl: Path) -> None:
    pid = journalctl.parent / "pid"
    script(journalctl, f"echo $$ > {pid}\necho '{line('one')}'\nexec sleep 1000")
    entries = logjournal.read("abc", -1, alive=lambda: True)
    assert next(entries).log == "one\n"
    entries.close()  # type: ignore[attr-defined]
    assert not os.path.exists(f"/proc/{pid.read_text().strip()}")


def test_what_it_cannot_do_is_told(journalctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(journalctl, "exit 3")
    with pytest.raises(Failure, match="exit code 3"):
        list(logjournal.read("abc", -1))
    monkeypatch.setenv("PATH", str(journalctl.parent / "none"))
    with pytest.raises(Failure, match="no journalctl") as caught:
        list(logjournal.read("abc", -1))
    assert "install" in caught.value.hint
