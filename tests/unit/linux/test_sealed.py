"""Copies of programs in memory: they run, cannot be written to, and are not mistaken for a file that has changed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from pycontainerd.linux.sealed import seal


def executes(path: str, *argv: str) -> int:
    """The wait status of a program."""
    return os.waitpid(os.posix_spawn(path, list(argv), {}), 0)[1]


def test_a_copy_runs_and_cannot_be_written(tmp_path: Path) -> None:
    program = str(shutil.copy("/bin/true", tmp_path / "true"))
    copy = seal(program)
    assert executes(copy.executable, program) == 0
    with pytest.raises(PermissionError):
        os.pwrite(copy.fd, b"#!", 0)
    with pytest.raises(PermissionError):
        os.truncate(copy.fd, 0)


def test_a_replaced_or_rewritten_file_is_another_program(tmp_path: Path) -> None:
    program = tmp_path / "true"
    shutil.copy("/bin/true", program)
    copy = seal(str(program))
    assert copy.current(str(program))
    assert not copy.current("/bin/true")
    os.utime(program, ns=(0, 1))
    assert not copy.current(str(program))
    program.unlink()
    assert not copy.current(str(program))


def test_a_script_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(OSError, match="no binary") as raised:
        seal(str(script))
    assert raised.value.errno == errno.ENOEXEC


def test_the_descriptor_goes_with_the_copy(tmp_path: Path) -> None:
    copy = seal("/bin/true")
    fd = copy.fd
    del copy
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
