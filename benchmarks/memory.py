"""Memory of the shims of twenty running containers, the template's share included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.cycle import Api
from benchmarks.report import Report, Row


def processes() -> Iterator[tuple[int, str]]:
    """Every process's pid and command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue


def pss(pid: int) -> float:
    """Proportional set size of a process in MB."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    except OSError:
        pass
    return 0.0


def shims(folder: str) -> tuple[float, float]:
    """PSS in MB of the shims and the template of the daemon whose files are in ``folder``; and of the waiting shim."""
    words = ("containerd-shim", "shim.template")
    found = [(pid, line) for pid, line in processes() if any(word in line for word in words)]
    ours = {pid for pid, line in found if uses(pid, line, folder)}
    # The shim that waits for the next container writes nowhere yet: it holds the template's end of the socket.
    ends = {end for pid in ours if (end := _link(pid, 3)).startswith("socket:")}
    waiting = {pid for pid, _ in found if pid not in ours and _link(pid, 3) in ends}
    return sum(map(pss, ours)), sum(map(pss, waiting))


def uses(pid: int, line: str, folder: str) -> bool:
    """Whether a process was told of the folder or writes its messages there: others on this machine are not ours."""
    return f"{folder}/" in line or _link(pid, 2).startswith(f"{folder}/")


def _link(pid: int, fd: int) -> str:
    """What a descriptor of a process is, "" when there is none."""
    try:
        return str(Path(f"/proc/{pid}/fd/{fd}").readlink())
    except OSError:
        return ""


def measure(address: str, chain: str, count: int) -> tuple[float, float]:
    """MB a shim once ``count`` containers run, the template shared out; and with the waiting shim shared out, too."""
    api = Api(address)
    names = []
    try:
        for _ in range(count):
            name, mounts = api.make(["/bin/sleep", "1000"], chain)
            api.start(name, mounts)
            names.append(name)
        used, waiting = shims(str(Path(address).parent))
        return used / count, (used + waiting) / count
    finally:
        for name in names:
            api.finish(name, kill=True)


def run(report: Report, ours: str, theirs: str, chain: str, count: int = 20) -> None:
    """Both sides with the same number of containers. Our template outlives a run, so it is started within it."""
    (us, more), (them, _) = measure(ours, chain, count), measure(theirs, chain, count)
    what, peer = f"shim PSS, {count} containers, each, the template's share included", "containerd-shim-runc-v2"
    report.add(Row(what, us, them, "MB", peer, "≤ 2.5 MB"))
    report.add(Row("the same, and the share of the shim that waits for the next", more, them, "MB", peer))
