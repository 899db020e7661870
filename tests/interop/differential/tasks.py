"""A task in every state, asked for everything in each; execs; exit codes; programs that are missing."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containers.v1 import containers_pb2 as containers
from pycontainerd.api.snapshots.v1 import snapshots_pb2 as snapshots
from pycontainerd.api.tasks.v1 import tasks_pb2 as tasks

if TYPE_CHECKING:
    from tests.interop.differential.session import Session

ROOTED = {"containerd.io/gc.root": "1"}
SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
RESOURCES = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
RUNTIME = "io.containerd.runc.v2"
_REQUESTS: dict[str, Any] = {
    "Create": tasks.CreateTaskRequest,
    "Start": tasks.StartRequest,
    "Delete": tasks.DeleteTaskRequest,
    "DeleteProcess": tasks.DeleteProcessRequest,
    "Get": tasks.GetRequest,
    "Kill": tasks.KillRequest,
    "Exec": tasks.ExecProcessRequest,
    "ResizePty": tasks.ResizePtyRequest,
    "CloseIO": tasks.CloseIORequest,
    "Pause": tasks.PauseTaskRequest,
    "Resume": tasks.ResumeTaskRequest,
    "ListPids": tasks.ListPidsRequest,
    "Update": tasks.UpdateTaskRequest,
    "Wait": tasks.WaitRequest,
}


def spec(name: str, *args: str) -> AnyMessage:
    """A plain spec: own namespaces, no filter, a cgroup of the test's own."""
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    ]
    document = {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": list(args), "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": {
            "cgroupsPath": f"/pc-differential-{os.getpid()}/{name}",
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        },
    }
    return AnyMessage(type_url=SPEC, value=json.dumps(document).encode())


class Task:
    """Calls about one container, ``name``."""

    def __init__(self, session: Session, name: str) -> None:
        self.session, self.name = session, name

    def make(self, *args: str) -> Any:
        """A container that runs the busybox image's ``args``; returns its mounts."""
        prepare = snapshots.PrepareSnapshotRequest(
            snapshotter="overlayfs", key=self.name, parent="busybox", labels=ROOTED
        )
        mounts = self.session.call(f"{self.name}: prepare", "snapshots.Prepare", prepare, keep=False).mounts
        record = containers.Container(
            id=self.name,
            runtime=containers.Container.Runtime(name=RUNTIME),
            snapshotter="overlayfs",
            snapshot_key=self.name,
            spec=spec(self.name, *args),
        )
        request = containers.CreateContainerRequest(container=record)
        self.session.call(f"{self.name}: container", "containers.Create", request, keep=False)
        return mounts

    def do(self, label: str, method: str, *, keep: bool = True, **fields: Any) -> None:
        """One call, with the container's id and the fields given."""
        request = _REQUESTS[method](container_id=self.name, **fields)
        self.session.call(label, f"tasks.{method}", request, keep=keep)

    def ask(self, state: str) -> None:
        """Everything that can be asked without changing the state."""
        self.do(f"{state}: get", "Get")
        self.session.call(f"{state}: list", "tasks.List", tasks.ListTasksRequest())
        self.do(f"{state}: pids", "ListPids", keep=False)
        metrics = tasks.MetricsRequest(filters=[f"id=={self.name}"])
        self.session.call(f"{state}: metrics", "tasks.Metrics", metrics, keep=False)
        self.do(f"{state}: resize", "ResizePty", width=80, height=24)
        self.do(f"{state}: close", "CloseIO", stdin=True)
        if state != "no task":  # a failed create leaves its bundle behind in 1.6, and the next one stumbles over it
            self.do(f"{state}: create again", "Create")
        self.do(f"{state}: resize exec", "ResizePty", exec_id="none", width=80, height=24)
        self.do(f"{state}: kill exec", "Kill", exec_id="none", signal=9)
        for method in ("Get", "Start", "Wait", "DeleteProcess"):
            self.do(f"{state}: {method} of no exec", method, exec_id="none")

    def exec(self, label: str, id: str, *args: str) -> None:
        """Add an exec."""
        process = {
            "user": {"uid": 0, "gid": 0},
            "args": args or ("sh", "-c", "exit 5"),
            "env": ["PATH=/bin"],
            "cwd": "/",
        }
        self.do(label, "Exec", exec_id=id, spec=AnyMessage(type_url=PROCESS, value=json.dumps(process).encode()))


def of_tasks(s: Session) -> None:
    """Everything about tasks."""
    task = Task(s, "t")
    of_states(task)
    of_running(task)
    of_execs(task)
    of_the_end(task)
    of_exit_codes(s)
    of_failures(s)
    s.settle("/tasks/delete", 5)
    for name in ("t", "exit0", "exit1", "exit137", "created", "missing"):
        s.call(f"{name}: container delete", "containers.Delete", containers.DeleteContainerRequest(id=name))
        remove = snapshots.RemoveSnapshotRequest(snapshotter="overlayfs", key=name)
        s.call(f"{name}: snapshot delete", "snapshots.Remove", remove)
    s.settle("/containers/delete", 7)
    time.sleep(0.2)


def of_states(t: Task) -> None:
    """Before it is created, and before it runs."""
    mounts = t.make("sleep", "1000")
    t.ask("no task")
    for method in ("Start", "Delete", "Pause", "Resume", "Update"):
        t.do(f"no task: {method}", method)
    t.do("create", "Create", rootfs=mounts)
    t.ask("created")
    t.do("created: pause", "Pause")
    t.do("created: resume", "Resume")
    t.do("start", "Start")


def of_running(t: Task) -> None:
    """While it runs."""
    t.ask("running")
    for method in ("Start", "Delete", "Resume"):
        t.do(f"running: {method}", method)
    resources = AnyMessage(type_url=RESOURCES, value=json.dumps({"pids": {"limit": 77}}).encode())
    t.do("running: update", "Update", resources=resources)
    t.do("running: kill 0", "Kill", signal=0)


def of_execs(t: Task) -> None:
    """Execs in every state."""
    t.exec("exec", "e")
    t.exec("exec again", "e")
    t.exec("exec bad id", "a/b")
    t.exec("exec no id", "")
    t.do("exec created: get", "Get", exec_id="e")
    t.do("exec created: kill", "Kill", exec_id="e", signal=9)
    t.do("exec start", "Start", exec_id="e")
    t.do("exec wait", "Wait", exec_id="e")
    t.session.settle("/tasks/exit")
    for method in ("Get", "Start", "Wait"):
        t.do(f"exec stopped: {method}", method, exec_id="e")
    t.do("exec stopped: kill", "Kill", exec_id="e", signal=9)
    t.do("exec delete", "DeleteProcess", exec_id="e")
    t.do("exec delete again", "DeleteProcess", exec_id="e")
    t.exec("exec never started", "n")
    t.do("exec never started: delete", "DeleteProcess", exec_id="n")
    t.exec("exec missing program", "m", "nothing-there")
    t.do("exec missing program: start", "Start", exec_id="m")
    t.do("exec missing program: delete", "DeleteProcess", exec_id="m")
    t.exec("exec long", "long", "sleep", "1000")
    t.do("exec long: start", "Start", exec_id="long")
    t.do("exec long: delete", "DeleteProcess", exec_id="long")


def of_the_end(t: Task) -> None:
    """Paused, killed, gone."""
    t.do("pause", "Pause")
    t.ask("paused")
    t.do("paused: pause", "Pause")
    t.do("paused: delete", "Delete")
    t.do("resume", "Resume")
    t.do("kill", "Kill", signal=9)
    t.do("wait", "Wait")
    t.session.settle("/tasks/exit", 3)
    t.ask("stopped")
    for method in ("Wait", "Start", "Pause", "Resume"):
        t.do(f"stopped: {method}", method)
    t.do("stopped: kill", "Kill", signal=9)
    t.exec("stopped: exec", "late")
    t.do("delete", "Delete")
    t.do("delete again", "Delete")


def of_exit_codes(s: Session) -> None:
    """Short lives."""
    for code in (0, 1, 137):
        task = Task(s, f"exit{code}")
        mounts = task.make("sh", "-c", f"exit {code}")
        task.do(f"{task.name}: create", "Create", rootfs=mounts)
        for method in ("Start", "Wait", "Delete"):
            task.do(f"{task.name}: {method}", method)


def of_failures(s: Session) -> None:
    """What never runs."""
    created = Task(s, "created")
    mounts = created.make("sleep", "1000")
    created.do("created task: create", "Create", rootfs=mounts)
    created.do("created task: delete", "Delete")
    missing = Task(s, "missing")
    mounts = missing.make("nothing-there")
    missing.do("missing program: create", "Create", rootfs=mounts)
    missing.do("missing program: get", "Get")
    Task(s, "none").do("unknown container", "Create")
