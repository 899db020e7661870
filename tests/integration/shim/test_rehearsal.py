"""What the template does before the first fork, so that shims need not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shim.hotcode import FUNCTIONS
from tests.integration.shim.harness import ROOT
from tests.integration.shim.recorded import record

pytestmark = pytest.mark.root

PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
import gc
import shim.template
from pycontainerd.wire import failpoint
from shim.rehearsal import LIVES, rehearse
failpoint.arm("shim.ready", "crash")
os.makedirs(sys.argv[2] + "/pycontainerd-rehearsal.4194305/0")  # no process can have that number
before = set(os.listdir("/proc/self/fd"))
assert rehearse(sys.argv[2]) == LIVES
gc.collect()
assert set(os.listdir("/proc/self/fd")) == before, os.listdir("/proc/self/fd")
assert not os.listdir(sys.argv[2])
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    pass
else:
    raise AssertionError("a child is left")
(blocked,) = [line for line in open("/proc/self/status") if line.startswith("SigBlk")]
assert int(blocked.split()[1], 16) == 0, blocked
assert rehearse("/proc/no such folder") == 0
assert "shim.ready" in failpoint._armed
"""


def test_a_rehearsal_comes_to_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-E", "-c", PROGRAM, str(ROOT), str(tmp_path)]
    subprocess.run(command, check=True)


def test_nearly_all_that_a_life_runs_is_put_together(tmp_path: Path) -> None:
    run = set(record(tmp_path))
    known = set(FUNCTIONS.splitlines())
    strange = sorted(run - known)
    assert len(strange) < len(run) / 10, f"python -m tests.integration.shim.recorded; not known: {strange}"
