"""``run --rm IMAGE true`` by command line, and the cost of a listing."""

from __future__ import annotations

import itertools
import subprocess
import time

from benchmarks.peers import BIN
from benchmarks.report import Report, Row, median

PYCTR = str(BIN / "pyctr")
_numbers = itertools.count()


def commands(argvs: dict[str, list[str]], count: int) -> dict[str, float]:
    """Median milliseconds of whole commands, taken in turns; all must succeed.

    ``{n}`` in an argument becomes a fresh number.
    """
    times: dict[str, list[float]] = {name: [] for name in argvs}
    for turn in range(count + 2):
        for name, argv in argvs.items():
            concrete = [part.replace("{n}", str(next(_numbers))) for part in argv]
            began = time.perf_counter()
            subprocess.run(concrete, check=True, capture_output=True)
            if turn >= 2:
                times[name].append(1000 * (time.perf_counter() - began))
    return {name: median(taken) for name, taken in times.items()}


def run(report: Report, ours: str, theirs: str, image: str, others: dict[str, list[str]], count: int = 20) -> None:
    """Each peer's whole command beside ours; ``others`` maps a peer's name to its command's beginning."""
    base = [PYCTR, "--address", ours, "-n", "bench"]
    start = [*base, "run", "--rm", "--network", "none"]
    ctr = ["ctr", "-a", theirs, "-n", "bench"]
    argvs = {
        "plain": [*start, "--security-opt", "seccomp=unconfined", image, "true"],
        "filter": [*start, image, "true"],
        "ctr (no filter)": [*ctr, "run", "--rm", image, "b{n}", "true"],
        "ctr --seccomp": [*ctr, "run", "--rm", "--seccomp", image, "b{n}", "true"],
    }
    for peer, words in others.items():
        # podman would raise limits, which not every machine permits
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"] if peer.startswith("podman") else []
        argvs[peer] = [*words, "run", "--rm", "--network", "none", *limits, image, "true"]
    took = commands(argvs, count)
    plain, us, bare = took.pop("plain"), took.pop("filter"), took.pop("ctr (no filter)")
    report.add(Row("run --rm true, no filter", plain, bare, "ms", "ctr (no filter)", "≤ 0.7"))
    report.add(Row("run --rm true, our filter, theirs none", us, bare, "ms", "ctr (no filter)"))
    for peer, milliseconds in took.items():
        report.add(Row("run --rm true, filter on both", us, milliseconds, "ms", peer))
    lists = {"ours": [*base, "ps"], "ctr c ls": [*ctr, "containers", "ls"]}
    if "docker run" in others:
        lists["docker ps"] = [*others["docker run"], "ps"]
    listed = commands(lists, count)
    for peer in [name for name in lists if name != "ours"]:
        report.add(Row("list containers (ps)", listed["ours"], listed[peer], "ms", peer))
