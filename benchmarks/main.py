"""Run the benchmarks: ``python -m benchmarks.main [PART…] [--quick] [--write[=FILE]]``; the parts are in ``PARTS``.

The peers are those that ``PATH`` finds first.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks import cli, cpu, cycle, images, logs, memory, networks, peers, restart, spans, traffic, unpack
from benchmarks.report import Report

PARTS = ("cycle", "cpu", "spans", "memory", "cli", "logs", "unpack", "networks", "traffic", "restart")
IMAGE = "docker.io/bench/busybox:latest"


def load(archive: Path, addresses: list[str]) -> None:
    """Import the small image into each daemon with its own client's namespace."""
    for address in addresses:
        subprocess.run(
            ["ctr", "-a", address, "-n", "bench", "images", "import", str(archive)], check=True, capture_output=True
        )


def command_line_peers(stack: ExitStack, theirs: str, archive: Path) -> dict[str, list[str]]:
    """docker and podman with the image loaded, each as its command's beginning."""
    docker = ["/usr/bin/docker", "-H", stack.enter_context(peers.dockerd(theirs))]
    podman = stack.enter_context(peers.podman())
    for base in (docker, podman):
        subprocess.run([*base, "load", "-i", str(archive)], check=True, capture_output=True)
    return {"docker run": docker, "podman run": podman}


def networked(report: Report, wanted: list[str], archive: Path, chain: str, *, quick: bool) -> None:
    """What networks cost, and what goes through them."""
    if "networks" in wanted:
        networks.run(report, archive, chain, 6 if quick else 20, 200 if quick else 2000)
    if "traffic" in wanted:
        traffic.run(report, archive, 6 if quick else 20, 50 if quick else 1000)


def _target() -> Path | None:
    """The file to write, in this directory, None for none."""
    for word in sys.argv[1:]:
        flag, _, name = word.partition("=")
        if flag == "--write":
            return Path(__file__).with_name(name or "RESULTS.md")
    return None


def main() -> None:
    """Run the parts named on the command line, or all."""
    wanted = [part for part in PARTS if part in sys.argv[1:]] or list(PARTS)
    quick = "--quick" in sys.argv
    report = Report(path=_target())
    with ExitStack() as stack:
        stack.callback(cpu.clean)
        work = stack.enter_context(peers.scratch("run"))
        archive = work / "busybox.tar"
        images.busybox(archive, "bench/busybox:latest")
        chain = images.chain_id(archive)
        daemons = stack.enter_context(peers.our_daemon()), stack.enter_context(peers.their_daemon())
        ours, theirs = (daemon.address for daemon in daemons)
        load(archive, [ours, theirs])
        others = command_line_peers(stack, theirs, archive) if {"cli", "logs"} & set(wanted) else {}
        if "cycle" in wanted:
            cycle.run(report, ours, theirs, chain, 10 if quick else 40)
        if "cpu" in wanted:
            cpu.run(report, ours, theirs, chain, 10 if quick else 25)
        if "spans" in wanted:
            spans.run(report, ours, chain, 10 if quick else 20)
        if "memory" in wanted:
            memory.run(report, ours, theirs, chain)
        if "cli" in wanted:
            cli.run(report, ours, theirs, IMAGE, others, 8 if quick else 20)
        if "logs" in wanted:
            logs.run(report, ours, "docker.io/bench/busybox:latest", {"docker": others["docker run"]})
        if "unpack" in wanted:
            unpack.run(report, ours, theirs, 1 if quick else 3)
        networked(report, wanted, archive, chain, quick=quick)
        if "restart" in wanted:
            restart.run(report, *daemons, str(archive), chain, 20 if quick else 200)


if __name__ == "__main__":
    main()
