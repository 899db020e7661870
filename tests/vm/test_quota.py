"""Project quotas, which the kernel of a development machine may have been built without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Emulation is slow, and the files below bring their own limits.
pytestmark = pytest.mark.timeout(1800)

TOP = Path(__file__).resolve().parents[2]
FILES = ("tests/unit/linux/test_quota.py", "tests/unit/stores/test_volumes.py", "tests/unit/snapshotter/test_bounds.py")


def test_trees_are_bounded_by_the_filesystem() -> None:
    for module in ("quota_v2", "loop", "xfs"):
        subprocess.run(["modprobe", module], check=False)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--timeout=900",
        "-k",
        "ext4-quota",
        *FILES,
    ]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout, done.stdout
