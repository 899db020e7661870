"""Import and unpack an image of 200 MB in 10,000 files."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from benchmarks import peers
from benchmarks.images import large
from benchmarks.peers import scratch
from benchmarks.report import Report, Row, median

NAME = "docker.io/bench/large:latest"


def timed(address: str, archive: Path, count: int) -> float:
    """Median seconds of ``ctr images import`` with unpacking, the image removed in between."""
    ctr = ["ctr", "-a", address, "-n", "large"]
    times = []
    for _ in range(count):
        subprocess.run(["sync"], check=True)
        began = time.perf_counter()
        subprocess.run([*ctr, "images", "import", str(archive)], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
        subprocess.run([*ctr, "images", "rm", "--sync", NAME], check=True, capture_output=True)
    return median(times)


def run(report: Report, ours: str, theirs: str, count: int = 3) -> None:
    """The same client against both daemons."""
    with scratch("image") as path:
        archive = path / "large.tar"
        large(archive, NAME)
        report.add(
            Row(
                "import + unpack, 200 MB, 10,000 files",
                timed(ours, archive, count),
                timed(theirs, archive, count),
                "s",
                peers.their_name(),
                "≤ 0.8",
            )
        )
