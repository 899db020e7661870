"""Starting other programs."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from pycontainerd.linux import process

LIST_FDS = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd')))"


def test_run_collects_output_and_code() -> None:
    result = process.run(["/bin/sh", "-c", "cat; echo oops >&2; exit 3"], input=b"hello")
    assert (result.code, result.stdout, result.stderr, result.text) == (3, b"hello", b"oops\n", "oops")
    merged = process.run(["/bin/sh", "-c", "echo a; echo b >&2"], merge=True)
    assert (merged.stdout, merged.stderr) == (b"a\nb\n", b"")


def test_text_says_something_for_the_silent() -> None:
    assert process.run(["/bin/sh", "-c", "exit 4"]).text == "exit status 4"
    assert process.run(["/bin/sh", "-c", "kill -9 $$"]).text == "killed by signal 9"


def test_only_named_descriptors_reach_the_child() -> None:
    read, write = os.pipe()
    stray, other = os.pipe()
    os.set_inheritable(stray, True)
    try:
        result = process.run(
            [sys.executable, "-IS", "-c", f"import os; os.write({write}, b'x'); " + LIST_FDS], fds=[write]
        )
        inherited = {int(n) for n in result.stdout.decode().strip("[]\n").split(",")}
        assert write in inherited
        assert stray not in inherited
        assert os.read(read, 1) == b"x"
    finally:
        for fd in (read, write, stray, other):
            os.close(fd)


def test_a_timeout_ends_the_whole_group() -> None:
    with pytest.raises(process.ProgramTimeout, match=r"no end after 0\.2 s"):
        process.run(["/bin/sh", "-c", "sleep 60 & wait"], timeout=0.2)


def test_kill_group_is_idempotent() -> None:
    child = process.spawn(["/bin/sh", "-c", "sleep 60 & wait"], stdout=process.PIPE, new_session=True)
    process.kill_group(child)
    process.kill_group(child)
    assert child.returncode == -signal.SIGKILL


def test_a_missing_program_is_an_oserror_and_the_environment_is_replaced() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["/nowhere/program"])
    assert process.run(["/usr/bin/env"], env={"A": "b"}, cwd="/").stdout == b"A=b\n"
