"""A template, the shims it forks, and a listener for their events, all gone at the end.

with Host() as host:
    box = host.shim("one", ["/bin/true"])
    box.create(); box.start(); assert box.wait().exit_status == 0
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycontainerd.linux.mount import unmount_all
from pycontainerd.wire.client import Client
from pycontainerd.wire.codes import RpcError
from pycontainerd.wire.messages import events_task, google, task_v3, types_runc
from pycontainerd.wire.messages.events_ttrpc import ForwardRequest
from pycontainerd.wire.messages.google import Empty
from pycontainerd.wire.messages.traces import ReportRequest
from pycontainerd.wire.server import Request, ServerSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.wire.codec import Message

ROOT = Path(__file__).resolve().parents[3]
TASK = "containerd.task.v3.Task"
APPLETS = ("sh", "true", "false", "sleep", "cat", "echo", "id", "head", "yes", "seq", "kill", "ps", "stty", "dd", "tty")
LAUNCH = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from shim.template import main; main()"


def make_rootfs(path: Path) -> None:
    """A root filesystem with busybox."""
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc", "root"):
        (path / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", path / "bin/busybox")
    for name in APPLETS:
        (path / "bin" / name).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\nbob:x:1001:\naudio:x:29:bob\nstaff:x:50:\n")


def spec(arguments: Sequence[str], rootfs: Path, cgroup: str, **process: Any) -> dict[str, Any]:
    """An OCI spec with namespaces of its own, no network."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(arguments),
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
            **process,
        },
        "root": {"path": str(rootfs)},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["newinstance", "ptmxmode=0666"],
            },
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        },
    }


class Listener:
    """The daemon's ttrpc socket, as far as shims use it: keeps every event and span."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[tuple[str, Message]] = []
        self.spans: list[Any] = []
        self._changed = threading.Condition()
        self._socket: socket.socket | None = None
        self._peers: list[socket.socket] = []
        self.start()

    def start(self) -> None:
        """Listen (again)."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen()
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and drop those there are."""
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
        self._peers.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        session = ServerSession()
        with suppress(OSError):
            while data := peer.recv(65536):
                for event in session.receive(data):
                    assert isinstance(event, Request)
                    self._keep(event)
                    session.respond(event.stream_id, Empty().encode())
                peer.sendall(session.outgoing())

    def _keep(self, request: Request) -> None:
        with self._changed:
            if request.method == "Report":
                self.spans.extend(ReportRequest.decode(request.payload).spans)
            else:
                envelope = ForwardRequest.decode(request.payload).envelope
                assert envelope is not None
                assert envelope.event is not None
                cls: type[Message] = getattr(events_task, envelope.event.type_url.rpartition(".")[2])
                self.events.append((envelope.topic, cls.decode(envelope.event.value)))
            self._changed.notify_all()

    def topics(self) -> list[str]:
        """The topics so far."""
        return [topic for topic, _ in self.events]

    def wait(self, topic: str, count: int = 1, limit: float = 10.0) -> Any:
        """The `count`th event of a topic."""
        with self._changed:
            found = self._changed.wait_for(lambda: self.topics().count(topic) >= count, limit)
            assert found, f"no {topic} among {self.topics()}"
            return [event for name, event in self.events if name == topic][count - 1]


class Host:
    """One template, one listener, a directory for everything."""

    def __init__(self, *, runtime: str = "", log_level: str = "debug", program: str = LAUNCH) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pc-shim-", dir="/tmp"))
        self.rootfs = self.base / "rootfs"
        make_rootfs(self.rootfs)
        self.cgroup = f"/pc-shim-{self.base.name[8:]}"
        self.runtime = runtime
        self.program = program
        self.log_level = log_level
        self.listener = Listener(self.base / "d.ttrpc")
        self.boxes: list[Box] = []
        self.pids: list[int] = []
        self._seq = 0
        self.template: subprocess.Popen[bytes]
        self.control: socket.socket
        self.start_template()

    def start_template(self) -> None:
        """Exec the template with its control socket as descriptor 3."""
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = theirs.detach()
        command = 'exec "$0" -I -S -E -OO -X no_debug_ranges -c "$1" 3<&"$2"'
        self.template = subprocess.Popen(
            ["/bin/bash", "-c", command, sys.executable, self.program, str(number)],
            pass_fds=(number,),
            stdin=subprocess.DEVNULL,
        )
        os.close(number)

    def ask(self, fields: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """One request to the template, and its reply."""
        self._seq += 1
        message = json.dumps({"seq": self._seq, **fields}).encode()
        socket.send_fds(self.control, [message], list(descriptors))
        self.control.settimeout(20)
        reply: dict[str, Any] = json.loads(self.control.recv(65536))
        assert reply["seq"] == self._seq
        return reply

    def request(self, id: str, bundle: Path, **fields: Any) -> dict[str, Any]:
        """The fields of a request for a shim."""
        return {
            "namespace": "test",
            "id": id,
            "bundle": str(bundle),
            "socket": str(self.base / f"{id}.sock"),
            "events": str(self.listener.path),
            "grpc_address": "",
            "log_level": self.log_level,
            "oom_score_adj": None,
            "cgroup": "",
            "runtime": self.runtime,
            "runtime_root": str(self.base / "state"),
            **fields,
        }

    def bundle(self, id: str, arguments: Sequence[str], **process: Any) -> Path:
        """A bundle with a spec and a log FIFO."""
        bundle = self.base / "bundles" / id
        bundle.mkdir(parents=True)
        document = spec(arguments, self.rootfs, f"{self.cgroup}-{id}", **process)
        (bundle / "config.json").write_text(json.dumps(document))
        os.mkfifo(bundle / "log", 0o700)
        return bundle

    def shim(self, id: str, arguments: Sequence[str] = ("/bin/true",), **process: Any) -> Box:
        """A forked shim with a bundle; `process` goes into the spec's process."""
        bundle = self.bundle(id, arguments, **process)
        log = os.open(bundle / "log", os.O_RDWR | os.O_NONBLOCK)
        reply = self.ask(self.request(id, bundle))
        assert "pid" in reply, reply
        self.pids.append(reply["pid"])
        box = Box(self, id, bundle, reply["pid"], log)
        self.boxes.append(box)
        return box

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_exception: object) -> None:
        for box in self.boxes:
            box.destroy()
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._end_containers()
        self.control.close()
        self.template.wait(10)
        self.listener.stop()
        unmount_all(str(self.base))
        for box in self.boxes:
            unmount_all(str(box.bundle / "rootfs"))
        shutil.rmtree(self.base, ignore_errors=True)

    def _end_containers(self) -> None:
        """A container whose shim a test killed has nobody left to end it."""
        groups = [path for path in Path("/sys/fs/cgroup").glob(f"*{self.cgroup}-*") if path.is_dir()]
        for group in groups:
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        deadline = time.monotonic() + 2
        while groups and time.monotonic() < deadline:
            for group in list(groups):
                with suppress(OSError):
                    group.rmdir()
                    groups.remove(group)
            time.sleep(0.01)


class Box:
    """One container in a shim of its own."""

    def __init__(self, host: Host, id: str, bundle: Path, pid: int, log: int) -> None:
        self.host = host
        self.id = id
        self.bundle = bundle
        self.pid = pid
        self.client = Client(str(host.base / f"{id}.sock"), namespace="test")
        self.traceparent = ""
        self._log = log

    def call(self, method: str, request: Message, answer: type[Any] = Empty, service: str = TASK) -> Any:
        """One call on the connection all calls share."""
        return self.client.call(service, method, request, answer, timeout=30)

    def alone(self, method: str, request: Message, answer: type[Any] = Empty, service: str = TASK) -> Any:
        """One call on a connection of its own: for what waits, and for other threads."""
        metadata = [("traceparent", self.traceparent)] if self.traceparent else []
        with Client(str(self.host.base / f"{self.id}.sock"), namespace="test", metadata=metadata) as client:
            return client.call(service, method, request, answer, timeout=30)

    def create(self, *, options: types_runc.Options | None = None, **fields: Any) -> int:
        """Create the task; its init's pid."""
        packed = google.Any(type_url=options.TYPE, value=options.encode()) if options else None
        request = task_v3.CreateTaskRequest(id=self.id, bundle=str(self.bundle), options=packed, **fields)
        return int(self.alone("Create", request, task_v3.CreateTaskResponse).pid)

    def start(self, exec_id: str = "") -> int:
        request = task_v3.StartRequest(id=self.id, exec_id=exec_id)
        return int(self.alone("Start", request, task_v3.StartResponse).pid)

    def wait(self, exec_id: str = "") -> Any:
        return self.alone("Wait", task_v3.WaitRequest(id=self.id, exec_id=exec_id), task_v3.WaitResponse)

    def state(self, exec_id: str = "") -> Any:
        return self.call("State", task_v3.StateRequest(id=self.id, exec_id=exec_id), task_v3.StateResponse)

    def delete(self, exec_id: str = "") -> Any:
        return self.alone("Delete", task_v3.DeleteRequest(id=self.id, exec_id=exec_id), task_v3.DeleteResponse)

    def kill(self, number: int = 9, exec_id: str = "", all: bool = False) -> None:
        self.call("Kill", task_v3.KillRequest(id=self.id, exec_id=exec_id, signal=number, all=all))

    def exec(self, exec_id: str, arguments: Sequence[str], *, terminal: bool = False, **fields: Any) -> None:
        process = {
            "args": list(arguments),
            "cwd": "/",
            "env": ["PATH=/bin"],
            "user": fields.pop("user", {"uid": 0, "gid": 0}),
            "terminal": terminal,
        }
        packed = google.Any(
            type_url="types.containerd.io/opencontainers/runtime-spec/1/Process", value=json.dumps(process).encode()
        )
        self.call(
            "Exec",
            task_v3.ExecProcessRequest(id=self.id, exec_id=exec_id, spec=packed, terminal=terminal, **fields),
        )

    def shutdown(self) -> None:
        self.call("Shutdown", task_v3.ShutdownRequest(id=self.id))

    def log(self) -> str:
        """What the shim has said."""
        with suppress(BlockingIOError):
            return os.read(self._log, 65536).decode()
        return ""

    def alive(self) -> bool:
        """Whether the shim's process runs (and is not merely waiting to be reaped)."""
        return running(self.pid)

    def destroy(self) -> None:
        """End the container, however it is."""
        with suppress(RpcError, OSError):
            self.kill(9)
        with suppress(RpcError, OSError):
            self.wait()
        with suppress(RpcError, OSError):
            self.delete()
        with suppress(RpcError, OSError):
            self.shutdown()
        self.client.close()
        os.close(self._log)


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(condition: Any, limit: float = 10.0, what: str = "") -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, what or "it never became true"
        time.sleep(0.01)
