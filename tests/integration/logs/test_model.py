"""The shim's writer and pyctr's readers against a model: rotation, compression, crashes, restarts, followers.

Compressors run when the machine says so, also after their writer has been replaced; a crash forgets what the writer had
in memory and may tear the line it was writing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ctr.logentries import parse_line
from ctr.logfiles import read_all, read_tail
from ctr.logfollow import Follower
from shim.children import Exit
from shim.log import Log
from shim.stdio.crilines import CriEncoder
from shim.stdio.jsonlines import Encoder
from shim.stdio.rotating import RotatingFile, options_of
from shim.stdio.sinks import LogSink
from shim.stdio.stamp import Stamp
from shim.stdio.uri import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ctr.logentries import Entry

STREAMS = ("stdout", "stderr")
TEXTS = st.lists(st.sampled_from(["", "a", "some words", '"quoted" \\ text', "é" * 20]), min_size=1, max_size=6)


class Compressors:
    """Stands for the shim's children: programs that were started and run when it is said."""

    def __init__(self) -> None:
        self.waiting: list[tuple[list[str], int, int, Callable[[Exit], None]]] = []

    def spawn(
        self, argv: list[str], env: Mapping[str, str], fds: Mapping[int, int], done: Callable[[Exit], None]
    ) -> int:
        self.waiting.append((argv, os.dup(fds[0]), os.dup(fds[1]), done))
        return 1

    def finish(self, *, well: bool = True) -> None:
        argv, source, target, done = self.waiting.pop(0)
        if well:
            subprocess.run(argv, stdin=source, stdout=target, check=True)
        os.close(source)
        os.close(target)
        done(Exit(1, 0 if well else 1, (0, 0)))

    def forget(self) -> None:
        for _, source, target, _ in self.waiting:
            os.close(source)
            os.close(target)
        self.waiting.clear()


class Reading:
    """A reader in the middle of its work: what it has seen, and how much there was when it began."""

    def __init__(self, entries: Iterator[Entry], least: int) -> None:
        self.entries, self.least = entries, least
        self.seen: list[str] = []


class Logs(RuleBasedStateMachine):
    """One container's log."""

    keep = 1000
    tears = True

    @initialize(cri=st.booleans(), compress=st.booleans())
    def begin(self, cri: bool, compress: bool) -> None:
        self.stamp = patch.object(Stamp, "now", lambda _self: "2026-01-01T00:00:00.123456789Z")  # sizes are to repeat
        self.stamp.start()
        self.directory = tempfile.mkdtemp(prefix="pc-logs-")
        self.path = f"{self.directory}/x.log"
        self.cri = cri
        scheme = "cri" if cri else "json-file"
        flag = str(compress).lower()
        self.options = options_of(parse(f"{scheme}://{self.path}?max-size=400&max-file={self.keep}&compress={flag}"))
        self.written: list[str] = []
        self.serial = 0
        self.children = Compressors()
        self.old: list[Compressors] = []
        self.followers: list[tuple[Follower, list[str]]] = []
        self.readings: list[Reading] = []
        self._start()

    def _start(self) -> None:
        self.children = Compressors()
        self.file = RotatingFile(self.path, self.options, self.children, Log("panic"))  # type: ignore[arg-type]
        encoders: dict[str, Any] = {name: CriEncoder(name) if self.cri else Encoder(name) for name in STREAMS}
        self.encoders = encoders
        self.sinks = {name: LogSink(self.file, encoders[name]) for name in STREAMS}
        self.rest = dict.fromkeys(STREAMS, "")

    # -- the container and its shim --

    @rule(stream=st.sampled_from(STREAMS), texts=TEXTS, ended=st.booleans())
    def write(self, stream: str, texts: list[str], ended: bool) -> None:
        data = "\n".join(f"{self._next()} {text}" for text in texts) + ("\n" if ended else "")
        self.sinks[stream].write(data.encode())
        *lines, self.rest[stream] = (self.rest[stream] + data).split("\n")
        self.written += [line + "\n" for line in lines]

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    @precondition(lambda self: self.children.waiting)
    @rule(well=st.booleans())
    def compressor_ends(self, well: bool) -> None:
        self.children.finish(well=well)

    @precondition(lambda self: any(old.waiting for old in self.old))
    @rule()
    def compressor_of_the_writer_before_ends(self) -> None:
        next(old for old in self.old if old.waiting).finish()

    @rule()
    def stop_and_start(self) -> None:
        for name in STREAMS:
            self.sinks[name].finish(lambda: None)
            if self.rest[name]:
                self.written.append(self.rest[name])
        self.old.append(self.children)
        self._start()

    @rule(torn=st.integers(0, 300))
    def crash(self, torn: int) -> None:
        torn = torn if self.tears else 0
        lost = self.rest["stdout"]
        block = self.encoders["stdout"].feed(f"torn {self._next()}\nand {self._next()}\n".encode())[:torn]
        os.write(self.file._fd, block)
        whole = block.count(b"\n")
        self.written += [f"{lost}torn {self.serial - 1}\n", f"and {self.serial}\n"][:whole]
        rest = parse_line(block.rpartition(b"\n")[2] + b"\n")
        if rest is not None:
            self.written.append(rest.log)  # only the newline was missing, or the format cannot tell
        self.children.forget()
        os.close(self.file._fd)
        self._start()

    # -- readers --

    @precondition(lambda self: len(self.followers) < 3)
    @rule()
    def follow(self) -> None:
        follower = Follower(self.path)
        seen = [entry.log for entry in read_all(self.path, follower)]
        assert seen == self._kept(seen)
        self.followers.append((follower, seen))

    @precondition(lambda self: self.followers)
    @rule(which=st.integers(0, 2))
    def look(self, which: int) -> None:
        follower, seen = self.followers[which % len(self.followers)]
        seen += [entry.log for entry in follower.fresh()]
        self._followed(seen)

    def _kept(self, seen: list[str]) -> list[str]:
        """What a reader must have seen who began now."""
        return self.written

    def _followed(self, seen: list[str]) -> None:
        assert seen == self.written

    @precondition(lambda self: len(self.readings) < 2)
    @rule()
    def begin_to_read(self) -> None:
        reading = Reading(read_all(self.path), len(self.written))
        first = next(reading.entries, None)  # opens the files
        reading.seen += [first.log] if first is not None else []
        self.readings.append(reading)

    @precondition(lambda self: self.readings)
    @rule()
    def read_on(self) -> None:
        reading = self.readings.pop(0)
        reading.seen += [entry.log for entry in reading.entries]
        self._read(reading)

    def _read(self, reading: Reading) -> None:
        assert len(reading.seen) >= reading.least
        assert reading.seen == self.written[: len(reading.seen)]

    @rule(count=st.integers(0, 30), cut=st.booleans())
    def tail(self, count: int, cut: bool) -> None:
        found = [entry.log for entry in read_tail(self.path, count, Follower(self.path) if cut else None)]
        assert found == self._tail(count)

    def _tail(self, count: int) -> list[str]:
        ends = [index for index, log in enumerate(self.written) if log.endswith("\n") or index == len(self.written) - 1]
        if count == 0:
            return []
        return self.written[ends[-count - 1] + 1 :] if len(ends) > count else self.written

    def teardown(self) -> None:
        if not hasattr(self, "directory"):
            return
        self.stamp.stop()
        for follower, seen in self.followers:
            seen += [entry.log for entry in follower.fresh()]
            self._followed(seen)
            os.close(follower._file)
        for reading in self.readings:
            reading.seen += [entry.log for entry in reading.entries]
        self.children.forget()
        for old in self.old:
            old.forget()
        os.close(self.file._fd)
        shutil.rmtree(self.directory)


class FewFiles(Logs):
    """The same where old lines are dropped: what is read is whole from somewhere on, in order, and nothing twice."""

    keep = 3
    tears = (
        False  # what is left of a torn line may look like another one's rest, and lines are known by their text here
    )

    def _kept(self, seen: list[str]) -> list[str]:
        return self.written[len(self.written) - len(seen) :]

    def _followed(self, seen: list[str]) -> None:
        places = {log: index for index, log in enumerate(self.written)}
        found = [places[log] for log in seen]
        assert found == sorted(set(found))

    def _read(self, reading: Reading) -> None:
        self._followed(reading.seen)
        found = self.written.index(reading.seen[0]) if reading.seen else 0
        assert reading.seen == self.written[found : found + len(reading.seen)]

    def _tail(self, count: int) -> list[str]:
        whole = [entry.log for entry in read_all(self.path)]
        assert whole == self._kept(whole)
        return super()._tail(count)[-len(whole) :] if whole else []


TestLogs = Logs.TestCase
TestLogs.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFewFiles = FewFiles.TestCase
TestFewFiles.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
