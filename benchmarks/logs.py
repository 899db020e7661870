"""Log throughput: 80-byte lines from a container to its json-file."""

from __future__ import annotations

import subprocess
import time

from benchmarks.peers import BIN
from benchmarks.report import Report, Row

MEGABYTES = 200
LINE = "0123456789" * 7 + "012345678"
SCRIPT = f"yes {LINE} | head -c 20m > /dev/shm/lines; for i in $(seq {MEGABYTES // 20}); do cat /dev/shm/lines; done"
"""Writes whole blocks, and is so cheap that what is measured is the reading side."""


def seconds(argv: list[str]) -> float:
    """Seconds of one run of a container that writes ``MEGABYTES`` to its standard output."""
    began = time.perf_counter()
    subprocess.run([*argv, "sh", "-c", SCRIPT], check=True, capture_output=True)
    return time.perf_counter() - began


def detached(base: list[str], image: str) -> float:
    """MB/s of a detached container's output, from its start to its end."""
    argv = [*base, "run", "-d", "--network", "none", image, "sh", "-c", SCRIPT]
    began = time.perf_counter()
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    name = done.stdout.strip()
    subprocess.run([*base, "wait", name], check=True, capture_output=True)
    took = time.perf_counter() - began
    subprocess.run([*base, "rm", "-f", name], check=True, capture_output=True)
    return MEGABYTES / took


def run(report: Report, ours: str, image: str, others: dict[str, list[str]]) -> None:
    """Ours beside docker's json-file."""
    us = detached([str(BIN / "pyctr"), "--address", ours, "-n", "bench"], image)
    for peer, base in others.items():
        theirs = detached(base, image)
        report.add(Row("log throughput, 80-byte lines, json-file", us, theirs, "MB/s", peer, "≥ 100 MB/s"))
