"""A runtime engine with everything it needs around it, and nothing left of it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING, Any

from pycontainerd.core.containers import Container
from pycontainerd.core.errors import NotFound, PycontainerdError
from pycontainerd.core.tasks import CreateTask, Stdio
from pycontainerd.core.values import AnyValue
from pycontainerd.linux import mountinfo, process
from pycontainerd.linux.mount import unmount_all
from pycontainerd.rpc.dispatch import Dispatcher
from pycontainerd.rpc.service import methods
from pycontainerd.rpc.ttrpc_server import TtrpcServer
from pycontainerd.runtime.creation import TaskSettings
from pycontainerd.runtime.engine import Engine
from pycontainerd.runtime.shims import connect_task
from pycontainerd.services.events import ShimEventsService
from pycontainerd.stores.events import Exchange
from pycontainerd.wire.messages import events_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.events import Envelope

DEBIAN_SHIM = "/usr/bin/containerd-shim-runc-v2"
SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
_BUSYBOX = "/bin/busybox"
_serial = itertools.count()


class Containers:
    """Container records in a dict."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], Container] = {}

    def get(self, namespace: str, id: str) -> Container:
        if (namespace, id) not in self.records:
            raise NotFound("container", id)
        return self.records[namespace, id]

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the runtime engine must not need {name}")


class _Quiet:
    """An observer that only lets crashes through."""

    def span(self, *_: object) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def finished(self, *_: object) -> None:
        return

    def crashed(self, method: object, call: object, error: BaseException) -> None:
        raise error


class Host:
    """One "daemon" with directories of its own. ``start`` and ``stop`` may be repeated: containers live on."""

    def __init__(self, base: str = "", namespace: str = "", **settings: Any) -> None:
        self.base = base or tempfile.mkdtemp(prefix="pc-runtime-", dir="/tmp")
        self.state, self.root = f"{self.base}/state", f"{self.base}/root"
        self.ttrpc = f"{self.base}/sock.ttrpc"
        self.containers = Containers()
        self.events: list[Envelope] = []
        self.engine: Engine | None = None
        self._news = asyncio.Event()
        self._extra = settings
        self._server: TtrpcServer | None = None
        self._namespace = namespace or f"rt{os.getpid()}x{next(_serial)}"
        self.rootfs = f"{self.base}/image"
        if not base:
            _make_rootfs(self.rootfs)

    @property
    def namespace(self) -> str:
        return self._namespace

    @property
    def tasks(self) -> Any:
        assert self.engine is not None
        return self.engine.tasks

    async def start(self, *, announce: bool = True) -> Any:
        settings = TaskSettings(
            self.state, self.root, f"{self.base}/sock", self.ttrpc, daemon_binary="/bin/false", **self._extra
        )
        exchange = Exchange()
        loop = asyncio.get_running_loop()

        def heard(envelope: Envelope) -> None:
            self.events.append(envelope)
            loop.call_soon_threadsafe(self._news.set)

        exchange.subscribe((), heard)
        self.engine = Engine(settings, self.containers, asyncio.to_thread, exchange.publish)
        await asyncio.to_thread(self.engine.probe.works, "crun", "1.0")
        recovered = await self.engine.start()
        tasks = self.engine.tasks
        service = ShimEventsService(lambda envelope: tasks.relay(envelope, exchange.forward))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.ttrpc)
        self._server = TtrpcServer(methods([service]), Dispatcher(_Quiet()))
        await self._server.start(self.ttrpc)
        if announce:
            self.engine.announce()
        return recovered

    async def stop(self) -> None:
        """As a daemon that is killed: nothing is told to anybody."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    def add(self, id: str, args: Sequence[str], *, runtime: str = "io.containerd.runc.v2", **spec: Any) -> CreateTask:
        """A container record, and the request that makes a task of it."""
        config = make_spec(self.rootfs, f"/{self.namespace}/{id}", args)
        for key, value in spec.items():
            config[key] = {**config[key], **value} if isinstance(value, dict) and key in config else value
        record = Container(id, runtime=runtime, spec=AnyValue(SPEC, json.dumps(config).encode()))
        self.containers.records[self.namespace, id] = record
        return CreateTask(id, stdio=Stdio())

    async def run(self, request: CreateTask) -> int:
        """Create and start."""
        pid: int = await self.tasks.create(self.namespace, request)
        await self.tasks.start(self.namespace, request.container_id)
        return pid

    def topics(self, id: str = "") -> list[str]:
        """The topics of the events so far, of one container."""
        return [event.topic for event in self.events if not id or event_container(event) == id]

    async def until(self, topic: str, id: str, count: int = 1) -> None:
        """Wait for an event."""
        async with asyncio.timeout(15):
            while self.topics(id).count(topic) < count:
                self._news.clear()
                await self._news.wait()

    async def settled(self) -> None:
        """Wait for what the task manager still does in the background, and for shims to be gone."""
        assert self.engine is not None
        await self.rested()
        for shim in list(self.engine.shims._live.values()):
            if not shim.holds:
                await shim.gone.wait()
        await asyncio.sleep(0.05)

    async def rested(self, limit: float | None = None) -> None:
        """Wait for what the task manager still does in the background."""
        while work := {task for task in self.tasks._background if not task.done()}:
            done, _ = await asyncio.wait(work, timeout=limit)
            if not done:
                return

    async def clean(self) -> None:
        """End everything, whatever the test has done, and check that nothing is left."""
        if self.engine is None:
            await self.start(announce=False)
        for task in list(self.tasks.table):
            with contextlib.suppress(PycontainerdError):
                await self.tasks.kill(self.namespace, task.id, "", signal.SIGKILL, all=True)
            with contextlib.suppress(PycontainerdError, TimeoutError):
                async with asyncio.timeout(10):
                    await self.tasks.wait(self.namespace, task.id)
                await self.tasks.delete(self.namespace, task.id)
        await self.rested(5)
        await self.stop()
        await asyncio.sleep(0.1)
        left = self.leftovers()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for controller in os.listdir("/sys/fs/cgroup"):
            with contextlib.suppress(OSError):
                os.rmdir(f"/sys/fs/cgroup/{controller}/{self.namespace}")
        shutil.rmtree(f"/run/containerd/runc/{self.namespace}", ignore_errors=True)
        unmount_all(self.state, 2)
        shutil.rmtree(self.base, ignore_errors=True)
        assert not left, left

    def processes(self) -> list[int]:
        """Processes that name this host's directories or namespace on their command line or as their cwd."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    text = file.read().decode("utf-8", "replace") + os.readlink(f"/proc/{name}/cwd")
            except OSError:
                continue
            if self.base in text or f"\0{self.namespace}\0" in text:
                found.append(int(name))
        return found

    def leftovers(self) -> list[str]:
        """What a clean host must not have: bundles, sockets, mounts, processes, cgroups."""
        task_dir = "io.containerd.runtime.v2.task"
        paths = [
            f"{base}/{path}"
            for base in (f"{self.state}/{task_dir}/{self.namespace}", f"{self.root}/{task_dir}/{self.namespace}")
            for path in (os.listdir(base) if os.path.isdir(base) else ())
        ]
        paths += [
            f"socket {name}" for name in (os.listdir(f"{self.state}/s") if os.path.isdir(f"{self.state}/s") else ())
        ]
        paths += [f"mount {point}" for point in mountinfo.below(self.base)]
        paths += [f"process {pid}" for pid in self.processes()]
        for controller in os.listdir("/sys/fs/cgroup"):
            group = f"/sys/fs/cgroup/{controller}/{self.namespace}"
            paths += (
                [f"cgroup {group}/{name}" for name in os.listdir(group) if os.path.isdir(f"{group}/{name}")]
                if (os.path.isdir(group))
                else []
            )
        return paths


def event_container(event: Envelope) -> str:
    """The container an event is about."""
    name = event.event.type_url.rpartition(".")[2]
    return str(getattr(events_task, name).decode(event.event.value).container_id)


def decode(event: Envelope) -> Any:
    """The payload of a task event."""
    return getattr(events_task, event.event.type_url.rpartition(".")[2]).decode(event.event.value)


def _make_rootfs(path: str) -> None:
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        os.makedirs(f"{path}/{name}")
    shutil.copy(_BUSYBOX, f"{path}/bin/busybox")
    for name in ("sh", "sleep", "true", "cat", "echo", "mkdir"):
        os.symlink("busybox", f"{path}/bin/{name}")


def make_spec(rootfs: str, cgroup: str, args: Sequence[str]) -> dict[str, Any]:
    """A small OCI spec: busybox as root, all namespaces, no limits."""
    capabilities = ["CAP_KILL", "CAP_SYS_ADMIN"]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": rootfs, "readonly": True},
        "hostname": "test",
        "process": {
            "cwd": "/",
            "args": list(args),
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        },
    }


def process_spec(args: Sequence[str]) -> AnyValue:
    """The Any of an exec's process."""
    value = {"cwd": "/", "args": list(args), "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    return AnyValue(PROCESS, json.dumps(value).encode())


def runs(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


async def shim_pid(host: Host, id: str) -> int:
    """The pid of a task's shim, as the shim says."""
    answer = await connect_task(host.tasks.table.get(host.namespace, id).shim, id)
    return int(answer.shim_pid)


def run(argv: Sequence[str]) -> str:
    """The output of a program that must succeed."""
    result = process.run(argv, timeout=20)
    assert result.code == 0, result.text
    return result.stdout.decode()
