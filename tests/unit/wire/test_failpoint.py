"""Armed points do what they are told, on the hit they are told."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd.wire import failpoint

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoint.disarm()


def test_an_unarmed_point_does_nothing() -> None:
    failpoint.hit("x")
    failpoint.arm("y", "error:EIO")
    failpoint.hit("x")


@pytest.mark.parametrize("action", ["error:ENOSPC", "error:28"])
def test_a_point_fails_with_the_error_it_was_armed_with(action: str) -> None:
    failpoint.arm("x", action)
    with pytest.raises(OSError, match="failpoint x") as caught:
        failpoint.hit("x")
    assert caught.value.errno == errno.ENOSPC
    failpoint.disarm("x")
    failpoint.hit("x")


def test_only_the_nth_hit_counts() -> None:
    failpoint.arm("x", "error:EIO@3")
    failpoint.hit("x")
    failpoint.hit("x")
    with pytest.raises(OSError, match="Input/output"):
        failpoint.hit("x")
    failpoint.hit("x")


def test_a_point_stalls() -> None:
    failpoint.arm("x", "sleep:0.05")
    began = time.monotonic()
    failpoint.hit("x")
    assert time.monotonic() - began >= 0.05


def run(points: str) -> int:
    code = "from pycontainerd.wire.failpoint import hit; hit('a'); hit('b'); hit('b'); print('alive')"
    environment = {**os.environ, "PYCONTAINERD_FAILPOINTS": points, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    return done.returncode


def test_points_are_armed_from_the_environment_and_crash_the_process() -> None:
    assert run("") == 0
    assert run("c=crash;b=sleep:0") == 0
    assert run("a=sleep:0; b=crash@2;") == -signal.SIGKILL
    assert run("b=crash@3") == 0


@pytest.mark.parametrize(
    "text", ["x", "=crash", "x=", "x=explode", "x=sleep", "x=sleep:-1", "x=error:ENOTHING", "x=crash:1", "x=crash@y"]
)
def test_a_list_that_makes_no_sense_is_refused_naming_the_point(text: str) -> None:
    with pytest.raises(ValueError, match="failpoint"):
        failpoint.arm_from(text)
