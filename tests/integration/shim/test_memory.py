"""What a shim weighs after a whole life, its share of the template included."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.shim.harness import Host

pytestmark = pytest.mark.root

SHIMS = 8
LIMIT = 3200
"""Kilobytes of memory that is no file's. Measured: 2800 to 2900; with 20 shims, which share the template, 2200."""


def test_a_shim_stays_small() -> None:
    with Host(log_level="info") as host:
        for number in range(SHIMS):
            box = host.shim(f"b{number}", ["/bin/echo", "hi"])
            box.create(stdout=f"json-file://{host.base}/{number}.log")
            box.start()
            box.wait()
            box.delete()
        time.sleep(1.2)
        sizes = [_pss(box.pid) for box in host.boxes]
        total = (sum(sizes) + _pss(host.template.pid)) / SHIMS
    assert total < LIMIT, sizes


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    # What is a file's is shared with every other interpreter that happens to run.
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))
