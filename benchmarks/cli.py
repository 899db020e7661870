"""``run --rm IMAGE true`` by command line, and the cost of a listing."""

from __future__ import annotations

import itertools
import subprocess
import time

from benchmarks.peers import BIN
from benchmarks.report import Report, Row, median

PYCTR = str(BIN / "pyctr")
_numbers = itertools.count()


def command(argv: list[str], count: int) -> float:
    """Median milliseconds of a whole command; it must succeed. ``{n}`` in an argument becomes a fresh number."""
    times = []
    for _ in range(count + 2):
        concrete = [part.replace("{n}", str(next(_numbers))) for part in argv]
        began = time.perf_counter()
        subprocess.run(concrete, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return 1000 * median(times[2:])


def run(report: Report, ours: str, theirs: str, image: str, others: dict[str, list[str]], count: int = 20) -> None:
    """Each peer's whole command beside ours; ``others`` maps a peer's name to its command's beginning."""
    base = [PYCTR, "--address", ours, "-n", "bench"]
    us = command([*base, "run", "--rm", "--network", "none", image, "true"], count)
    plain = command(
        [*base, "run", "--rm", "--network", "none", "--security-opt", "seccomp=unconfined", image, "true"], count
    )
    ctr = ["ctr", "-a", theirs, "-n", "bench"]
    report.add(
        Row(
            "run --rm true, no filter",
            plain,
            command([*ctr, "run", "--rm", image, "b{n}", "true"], count),
            "ms",
            "ctr (no filter)",
            "≤ 0.7",
        )
    )
    report.add(
        Row(
            "run --rm true, our filter, theirs none",
            us,
            command([*ctr, "run", "--rm", image, "b{n}", "true"], count),
            "ms",
            "ctr (no filter)",
            "",
        )
    )
    seccomp = [*ctr, "run", "--rm", "--seccomp", image, "b{n}", "true"]
    report.add(Row("run --rm true, filter on both", us, command(seccomp, count), "ms", "ctr --seccomp"))
    for peer, start in others.items():
        # podman would raise limits, which not every machine permits
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"] if peer.startswith("podman") else []
        theirs_ms = command([*start, "run", "--rm", "--network", "none", *limits, image, "true"], count)
        report.add(Row("run --rm true, filter on both", us, theirs_ms, "ms", peer))
    report.add(
        Row(
            "list containers (ps)",
            command([*base, "ps"], count),
            command([*ctr, "containers", "ls"], count),
            "ms",
            "ctr c ls",
        )
    )
    if "docker run" in others:
        docker_ps = command([*others["docker run"], "ps"], count)
        report.add(Row("list containers (ps)", command([*base, "ps"], count), docker_ps, "ms", "docker ps"))
