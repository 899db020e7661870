"""Many clients at once that give calls up at random moments, and a daemon killed under them: no wrong answer, no rest.

Each worker lives through the same life of a container again and again. A call that was given up or cut off ends the
life early; the worker then clears up as a client does that does not know how far it got.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containers.v1 import containers_pb2 as containers
from pycontainerd.api.content.v1 import content_pb2 as content
from pycontainerd.api.diff.v1 import diff_pb2 as diff
from pycontainerd.api.leases.v1 import leases_pb2 as leases
from pycontainerd.api.snapshots.v1 import snapshots_pb2 as snapshots
from pycontainerd.api.tasks.v1 import tasks_pb2 as tasks
from pycontainerd.api.types.descriptor_pb2 import Descriptor
from tests.interop.differential.tasks import PROCESS, RUNTIME, SPEC
from tests.support.daemon import RunningDaemon
from tests.support.images import busybox_layer
from tests.support.stubs import Stub, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
WORKERS, LIVES = 8, 8
PATIENCE = (0.001, 0.005, 0.02, 0.05, 0.1)
"""Seconds after which an impatient call is given up."""
GIVEN_UP = 0.2
"""The share of calls that are impatient."""
LIMIT = 90.0
"""Seconds until a call, or clearing up, counts as stuck."""
DRIVER = "overlayfs"
ROOTED = {"containerd.io/gc.root": "1"}


class Cut(Exception):
    """A call was given up, or the daemon went away under it."""


class Worker:
    """One client of one namespace; ``wrong`` gets what must not have been answered."""

    def __init__(self, address: str, number: int, wrong: list[str]) -> None:
        self.namespace = f"impatient{number % 2}"
        self._number, self._wrong = number, wrong
        self._random = random.Random(number)
        self._channel = connect(address)
        self._stubs = {
            noun: Stub(self._channel, f"containerd.services.{noun}.v1.{noun.capitalize()}", namespace=self.namespace)
            for noun in ("containers", "content", "diff", "leases", "snapshots", "tasks")
        }

    def call(self, method: str, request: Any) -> Any:
        """The answer, waited for as long as it takes. Raises grpc.RpcError."""
        noun, _, name = method.partition(".")
        return getattr(self._stubs[noun], name)(request, timeout=LIMIT)

    def ask(self, method: str, request: Any) -> Any:
        """The answer of a call that may be given up and must not fail otherwise. Raises Cut."""
        noun, _, name = method.partition(".")
        hasty = self._random.random() < GIVEN_UP
        try:
            return getattr(self._stubs[noun], name)(request, timeout=self._random.choice(PATIENCE) if hasty else LIMIT)
        except grpc.RpcError as error:
            cut = {"UNAVAILABLE", "CANCELLED", *(["DEADLINE_EXCEEDED"] if hasty else [])}
            if error.code().name not in cut:
                self.complain(f"{method}: {error.code().name} {error.details()}")
            raise Cut from error

    def complain(self, what: str) -> None:
        self._wrong.append(f"{self.namespace}/{self._number}: {what}")

    def expect(self, what: str, got: object, wanted: object) -> None:
        if got != wanted:
            self.complain(f"{what} is {got}, not {wanted}")

    # -- one life --

    def live(self, id: str) -> None:
        try:
            pid = self._begin(id)
            for number in range(self._random.randrange(3)):
                self._exec(id, f"e{number}", self._random.randrange(100))
            process = self.ask("tasks.Get", tasks.GetRequest(container_id=id)).process
            self.expect("(pid, status)", (process.pid, process.status), (pid, 2))
            self.ask("tasks.Kill", tasks.KillRequest(container_id=id, signal=9))
            self.expect("exit status", self.ask("tasks.Wait", tasks.WaitRequest(container_id=id)).exit_status, 137)
            ended = self.ask("tasks.Delete", tasks.DeleteTaskRequest(container_id=id))
            self.expect("(pid, exit status) when deleted", (ended.pid, ended.exit_status), (pid, 137))
        except Cut:
            pass
        self.clear(id)

    def _begin(self, id: str) -> int:
        prepare = snapshots.PrepareSnapshotRequest(snapshotter=DRIVER, key=id, parent="base", labels=ROOTED)
        mounts = self.ask("snapshots.Prepare", prepare).mounts
        record = containers.Container(
            id=id,
            runtime=containers.Container.Runtime(name=RUNTIME),
            snapshotter=DRIVER,
            snapshot_key=id,
            spec=spec(f"{self.namespace}-{id}"),
        )
        self.ask("containers.Create", containers.CreateContainerRequest(container=record))
        pid = self.ask("tasks.Create", tasks.CreateTaskRequest(container_id=id, rootfs=mounts)).pid
        self.ask("tasks.Start", tasks.StartRequest(container_id=id))
        return int(pid)

    def _exec(self, id: str, exec_id: str, status: int) -> None:
        process = AnyMessage(type_url=PROCESS, value=json.dumps(program("/bin/sh", "-c", f"exit {status}")).encode())
        self.ask("tasks.Exec", tasks.ExecProcessRequest(container_id=id, exec_id=exec_id, spec=process))
        self.ask("tasks.Start", tasks.StartRequest(container_id=id, exec_id=exec_id))
        ended = self.ask("tasks.Wait", tasks.WaitRequest(container_id=id, exec_id=exec_id))
        self.expect("exit status of the exec", ended.exit_status, status)
        ended = self.ask("tasks.DeleteProcess", tasks.DeleteProcessRequest(container_id=id, exec_id=exec_id))
        self.expect("exit status of the deleted exec", ended.exit_status, status)

    # -- clearing up --

    def clear(self, id: str) -> None:
        """Remove whatever there is of it; a creation that was given up may come to its end only now."""
        deadline = time.monotonic() + LIMIT
        said: list[str] = []
        while said != ["NOT_FOUND"] * 4:
            if time.monotonic() > deadline:
                return self.complain(f"{id} cannot be removed: {said}")
            self._outcome("tasks.Kill", tasks.KillRequest(container_id=id, signal=9))
            said = [
                self._outcome("tasks.Delete", tasks.DeleteTaskRequest(container_id=id)),
                self._outcome("containers.Delete", containers.DeleteContainerRequest(id=id)),
                self._outcome("snapshots.Remove", snapshots.RemoveSnapshotRequest(snapshotter=DRIVER, key=id)),
                self._outcome("tasks.Get", tasks.GetRequest(container_id=id)),
            ]
        return None

    def _outcome(self, method: str, request: Any) -> str:
        try:
            self.call(method, request)
        except grpc.RpcError as error:
            if error.code().name == "UNAVAILABLE":
                time.sleep(0.05)
            return str(error.code().name)
        return "OK"

    def left(self) -> list[str]:
        """What the namespace still holds beside the base."""
        found = self.call("snapshots.List", snapshots.ListSnapshotsRequest(snapshotter=DRIVER))
        return [
            *(item.id for item in self.call("containers.List", containers.ListContainersRequest()).containers),
            *(item.id for item in self.call("tasks.List", tasks.ListTasksRequest()).tasks),
            *(item.id for item in self.call("leases.List", leases.ListRequest()).leases),
            *(info.name for block in found for info in block.info if info.name != "base"),
        ]

    def lay_base(self) -> None:
        """The snapshot all containers stand on."""
        layer = busybox_layer()
        write = content.WriteContentRequest(ref="layer", action=content.COMMIT, data=layer.blob, labels=ROOTED)
        digest = list(self.call("content.Write", iter([write])))[-1].digest
        prepare = snapshots.PrepareSnapshotRequest(snapshotter=DRIVER, key="making", labels=ROOTED)
        mounts = self.call("snapshots.Prepare", prepare).mounts
        descriptor = Descriptor(media_type=layer.media_type, digest=digest, size=len(layer.blob))
        self.call("diff.Apply", diff.ApplyRequest(diff=descriptor, mounts=mounts))
        commit = snapshots.CommitSnapshotRequest(snapshotter=DRIVER, key="making", name="base", labels=ROOTED)
        self.call("snapshots.Commit", commit)

    def close(self) -> None:
        self._channel.close()


def program(*arguments: str) -> dict[str, Any]:
    return {"user": {"uid": 0, "gid": 0}, "args": list(arguments), "env": ["PATH=/bin"], "cwd": "/"}


def spec(name: str) -> AnyMessage:
    document = {
        "ociVersion": "1.0.2",
        "process": program("/bin/sleep", "1000"),
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "cgroupsPath": f"/{PARENT}/{name}",
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        },
    }
    return AnyMessage(type_url=SPEC, value=json.dumps(document).encode())


PARENT = f"pc-impatient-{os.getpid()}"


@pytest.fixture
def parent() -> Iterator[str]:
    """The control group that all containers share, gone afterwards."""
    yield PARENT
    for path in Path("/sys/fs/cgroup").glob(f"*/{PARENT}"):
        path.rmdir()


def test_calls_given_up_and_a_daemon_killed_in_between(daemon: RunningDaemon, parent: str) -> None:
    wrong: list[str] = []
    workers = [Worker(daemon.address, number, wrong) for number in range(WORKERS)]
    for worker in workers[:2]:
        worker.lay_base()
    done = threading.Semaphore(0)

    def work(item: tuple[int, Worker]) -> None:
        for life in range(LIVES):
            item[1].live(f"w{item[0]}-{life}")
            done.release()

    with ThreadPoolExecutor(WORKERS) as pool:
        working = [pool.submit(work, item) for item in enumerate(workers)]
        for _ in range(2):
            for _ in range(WORKERS * LIVES // 3):
                assert done.acquire(timeout=LIMIT)
            daemon.kill()
            daemon.start()
        for each in working:
            each.result()

    assert wrong == []
    for worker in workers[:2]:  # what was given up may have come to be after its client had cleared up
        for late in worker.left():
            worker.clear(late)
    assert wrong == []
    assert [worker.left() for worker in workers[:2]] == [[], []]
    for worker in workers:
        worker.close()
    _assert_nothing_left(daemon, parent)


def _assert_nothing_left(daemon: RunningDaemon, parent: str) -> None:
    """Processes, mounts, groups, bundles, sockets, directories; some of it goes behind the answers."""
    state = daemon.state
    snapshot_directories = daemon.root / f"io.containerd.snapshotter.v1.{DRIVER}" / "snapshots"

    def left() -> list[object]:
        groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{parent}/*/")]
        bundles = list((state / "io.containerd.runtime.v2.task").glob("*/*"))
        directories = [path.name for path in snapshot_directories.iterdir()]
        others = [*(state / "s").iterdir(), *(state / "runc").glob("*/*"), *daemon.leftover_mounts()]
        return [
            *daemon.leftover_processes(),
            *groups,
            *bundles,
            *others,
            *(directories if len(directories) != 2 else []),
        ]

    deadline = time.monotonic() + 30
    while left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left() == []
    assert "Traceback" not in daemon.output()
    assert '"level": "error"' not in daemon.output()
