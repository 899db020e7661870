"""A daemon that starts anew until all its running containers answer again."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from benchmarks import peers
from benchmarks.cycle import Api
from benchmarks.peers import Daemon
from benchmarks.report import Report, Row
from pycontainerd.api.tasks.v1 import tasks_pb2 as tasks
from pycontainerd.api.types.task import task_pb2 as task

WORKERS = 4
LIMIT = 60.0
"""Seconds for all of them."""


def running(api: Api) -> int:
    """How many containers answer that they run; 0 while the daemon does not serve."""
    try:
        answer = api.call("tasks.v1.Tasks", "List", tasks.ListTasksRequest(), tasks.ListTasksResponse)
    except grpc.RpcError:
        return 0
    return sum(process.status == task.RUNNING for process in answer.tasks)


def measure(daemon: Daemon, archive: str, chain: str, count: int) -> float:
    """Seconds from the exec of the new daemon until `count` containers are running to a client."""
    load = ["ctr", "-a", daemon.address, "-n", "bench", "images", "import", archive]
    subprocess.run(load, check=True, capture_output=True)
    api = Api(daemon.address)

    def begin(_number: int) -> str:
        name, mounts = api.make(["/bin/sleep", "1000"], chain)
        api.start(name, mounts)
        return name

    def end(name: str) -> None:
        api.finish(name, kill=True)

    with ThreadPoolExecutor(WORKERS) as pool:
        names = list(pool.map(begin, range(count)))
        try:
            daemon.stop()
            began = time.monotonic()
            daemon.start()
            while running(Api.plain(daemon.address)) < count:
                if time.monotonic() > began + LIMIT:
                    raise RuntimeError(f"{daemon.name}: not all of {count} containers answer after {LIMIT:.0f} s")
                time.sleep(0.005)
            return time.monotonic() - began
        finally:
            api = Api(daemon.address)
            list(pool.map(end, names))


def run(report: Report, ours: Daemon, theirs: Daemon, archive: str, chain: str, count: int = 200) -> None:
    """Both daemons with as many containers. Theirs learns of its shims as ours does, from the bundles."""
    us, them = measure(ours, archive, chain, count), measure(theirs, archive, chain, count)
    what = f"daemon restart until {count} running containers answer"
    report.add(Row(what, us, them, "s", peers.their_name(), "≤ 2 s" if count == 200 else ""))
