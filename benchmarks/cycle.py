"""create + start + wait + delete through the gRPC API, the same client against both daemons."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from typing import Any

import grpc
from google.protobuf import empty_pb2

from benchmarks import peers
from benchmarks.report import Report, Row, median
from pycontainerd.api.containers.v1 import containers_pb2 as containers
from pycontainerd.api.leases.v1 import leases_pb2 as leases
from pycontainerd.api.snapshots.v1 import snapshots_pb2 as snapshots
from pycontainerd.api.tasks.v1 import tasks_pb2 as tasks
from pycontainerd.api.types.runc import options_pb2 as runc

NAMESPACE = (("containerd-namespace", "bench"),)
SPEC_URL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
_numbers = itertools.count()


def spec(args: list[str], name: str) -> bytes:
    """A plain OCI spec: own namespaces, no seccomp, cgroup below /bench."""
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    ]
    return json.dumps(
        {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": args, "env": ["PATH=/bin"], "cwd": "/"},
            "root": {"path": "rootfs"},
            "mounts": mounts,
            "linux": {
                "cgroupsPath": f"/bench/{name}",
                "namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount", "network")],
            },
        }
    ).encode()


class Api:
    """The few calls a cycle needs, on one channel."""

    metadata: tuple[tuple[str, str], ...] = NAMESPACE

    def __init__(self, address: str, binary: str = "") -> None:
        self._connect(address, binary)
        # What is prepared is nobody's until its container exists: a collection in between would take it.
        lease = self.call("leases.v1.Leases", "Create", leases.CreateRequest(), leases.CreateResponse).lease
        self.metadata = (*NAMESPACE, ("containerd-lease", lease.id))

    def _connect(self, address: str, binary: str) -> None:
        self.channel = grpc.insecure_channel(f"unix://{address}", [("grpc.initial_reconnect_backoff_ms", 20)])
        self.binary = binary

    @classmethod
    def plain(cls, address: str) -> Api:
        """Without a lease, for a daemon that may not answer yet."""
        api = cls.__new__(cls)
        api._connect(address, "")
        return api

    def call(self, service: str, method: str, request: Any, response: Any) -> Any:
        """One unary call in the benchmark's namespace."""
        path = f"/containerd.services.{service}/{method}"
        stub: Any = self.channel.unary_unary(path, lambda m: m.SerializeToString(), response.FromString)
        return stub(request, metadata=self.metadata, timeout=60)

    def make(self, args: list[str], chain: str) -> tuple[str, list[Any]]:
        """Snapshot and container record; returns the id and the mounts."""
        name = f"bench-{os.getpid()}-{next(_numbers)}"  # others may run this, too
        prepare = snapshots.PrepareSnapshotRequest(snapshotter="overlayfs", key=name, parent=chain)
        mounts = self.call("snapshots.v1.Snapshots", "Prepare", prepare, snapshots.PrepareSnapshotResponse).mounts
        container = containers.Container(id=name, snapshotter="overlayfs", snapshot_key=name)
        container.runtime.name = "io.containerd.runc.v2"
        container.spec.type_url, container.spec.value = SPEC_URL, spec(args, name)
        request = containers.CreateContainerRequest(container=container)
        self.call("containers.v1.Containers", "Create", request, containers.CreateContainerResponse)
        return name, list(mounts)

    def start(self, name: str, mounts: list[Any]) -> None:
        """Task create and start."""
        request = tasks.CreateTaskRequest(container_id=name, rootfs=mounts)
        if self.binary:
            request.options.type_url = "containerd.runc.v1.Options"
            request.options.value = runc.Options(binary_name=self.binary).SerializeToString()
        self.call("tasks.v1.Tasks", "Create", request, tasks.CreateTaskResponse)
        self.call("tasks.v1.Tasks", "Start", tasks.StartRequest(container_id=name), tasks.StartResponse)

    def finish(self, name: str, *, kill: bool = False) -> None:
        """Wait, then delete task, container and snapshot."""
        if kill:
            self.call("tasks.v1.Tasks", "Kill", tasks.KillRequest(container_id=name, signal=9), empty_pb2.Empty)
        self.call("tasks.v1.Tasks", "Wait", tasks.WaitRequest(container_id=name), tasks.WaitResponse)
        self.call("tasks.v1.Tasks", "Delete", tasks.DeleteTaskRequest(container_id=name), tasks.DeleteResponse)
        remove = snapshots.RemoveSnapshotRequest(snapshotter="overlayfs", key=name)
        self.call("snapshots.v1.Snapshots", "Remove", remove, empty_pb2.Empty)
        gone = containers.DeleteContainerRequest(id=name)
        self.call("containers.v1.Containers", "Delete", gone, empty_pb2.Empty)

    def cycle(self, chain: str) -> float:
        """One whole life of /bin/true; seconds."""
        began = time.perf_counter()
        name, mounts = self.make(["/bin/true"], chain)
        self.start(name, mounts)
        self.finish(name)
        return time.perf_counter() - began


def timed(us: Api, them: Api, chain: str, count: int) -> tuple[float, float]:
    """Median milliseconds of a cycle of each, taken in turns: what else the machine does meets both alike."""
    for api in (us, them) * 3:
        api.cycle(chain)
    pairs = [(us.cycle(chain), them.cycle(chain)) for _ in range(count)]
    return 1000 * median([ours for ours, _ in pairs]), 1000 * median([theirs for _, theirs in pairs])


def rates(us: Api, them: Api, chain: str, count: int) -> tuple[float, float]:
    """Median cycles per second of each with several workers, in turns of a quarter of ``count``."""
    pairs = [(rate(us, chain, count // 4), rate(them, chain, count // 4)) for _ in range(4)]
    return median([ours for ours, _ in pairs]), median([theirs for _, theirs in pairs])


def rate(api: Api, chain: str, count: int, workers: int = 4) -> float:
    """Cycles per second with several workers."""
    turns = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if next(turns, None) is None:
                    return
            api.cycle(chain)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - began)


def run(report: Report, ours: str, theirs: str, chain: str, count: int = 30) -> None:
    """Both daemons, as they come and on the same runtime."""
    sides: list[tuple[str, str, str]] = [("as it comes (crun | runc)", "", ""), ("same runtime (runc)", "runc", "runc")]
    sides.append(("same runtime (crun)", "crun", "crun"))
    bars = {"as": ("≤ 0.4", "≥ 2.5"), "sa": ("≤ 0.6", "")}
    for label, mine, other in sides:
        us, them = Api(ours, mine), Api(theirs, other)
        first, second = bars[label[:2]]
        what = f"no filter, {label}"
        one = timed(us, them, chain, count)
        report.add(Row(f"cycle, one at a time, {what}", *one, "ms", peers.their_name(), first))
        four = rates(us, them, chain, 4 * count)
        report.add(Row(f"cycle, four at a time, {what}", *four, "/s", peers.their_name(), second))
