"""The daemon's own services of names, supervision and history, as a test sees them: over the client's connection."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from pycontainerd.client.daemon import Daemon
from pycontainerd.core.settings import EXTENSION
from pycontainerd.wire import times
from pycontainerd.wire.messages import containers as container_messages
from pycontainerd.wire.messages import history as history_messages
from pycontainerd.wire.messages import names as name_messages
from pycontainerd.wire.messages import supervisor as messages
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.google import Empty, FieldMask
from pycontainerd.wire.messages.types import Envelope
from tests.e2e.pyctr import Pyctr
from tests.support.daemon import RunningDaemon

NAMES = "pycontainerd.names.v1.Names"
SUPERVISOR = "pycontainerd.supervisor.v1.Supervisor"
HISTORY = "pycontainerd.events.v1.History"
CONTAINERS = "containerd.services.containers.v1.Containers"
PATIENCE = 20.0


class Supervised:
    """Calls in one namespace. A connection is made for each, since the daemon may be another by then."""

    def __init__(self, address: str, namespace: str = "default") -> None:
        self.address, self.namespace = address, namespace

    def _call(self, service: str, method: str, request: Any, answer: Any, timeout: float = 30.0) -> Any:
        with Daemon(self.address, self.namespace) as daemon:
            return daemon.call(service, method, request, answer, timeout=timeout)

    # -- names --

    def reserve(self, id: str, *names: str) -> str:
        request = name_messages.ReserveRequest(container_id=id, names=list(names))
        return str(self._call(NAMES, "Reserve", request, name_messages.ReserveResponse).name)

    def release(self, id: str, name: str) -> None:
        self._call(NAMES, "Release", name_messages.ReleaseRequest(container_id=id, name=name), Empty)

    def resolve(self, reference: str, *, record: bool = False) -> name_messages.ResolveResponse:
        request = name_messages.ResolveRequest(reference=reference, record=record)
        answer: name_messages.ResolveResponse = self._call(NAMES, "Resolve", request, name_messages.ResolveResponse)
        return answer

    def rename(self, id: str, name: str) -> str:
        request = name_messages.RenameRequest(container_id=id, name=name)
        return str(self._call(NAMES, "Rename", request, name_messages.RenameResponse).old)

    def names(self) -> dict[str, str]:
        answer = self._call(NAMES, "List", name_messages.ListNamesRequest(), name_messages.ListNamesResponse)
        return {each.name: each.container_id for each in answer.names}

    # -- supervision --

    def status(self, id: str) -> messages.ContainerStatus | None:
        request = messages.StatusRequest(container_ids=[id])
        answer = self._call(SUPERVISOR, "Status", request, messages.StatusResponse)
        return answer.containers[0] if answer.containers else None

    def start(self, id: str) -> int:
        return int(self._call(SUPERVISOR, "Start", messages.StartRequest(container_id=id), messages.StartResponse).pid)

    def stop(self, id: str, timeout: float | None = None) -> int:
        request = messages.StopRequest(container_id=id, timeout=timeout)
        return int(self._call(SUPERVISOR, "Stop", request, messages.StopResponse).exit_code)

    def mark_stopped(self, id: str) -> None:
        self._call(SUPERVISOR, "MarkStopped", messages.MarkStoppedRequest(container_id=id), Empty)

    def set_policy(self, id: str, policy: str) -> None:
        self._call(SUPERVISOR, "SetPolicy", messages.SetPolicyRequest(container_id=id, policy=policy), Empty)

    def wait(self, id: str, condition: str = "") -> messages.WaitResponse:
        request = messages.WaitRequest(container_id=id, condition=condition)
        answer: messages.WaitResponse = self._call(SUPERVISOR, "Wait", request, messages.WaitResponse)
        return answer

    def health(self, id: str, *, run: bool = False) -> messages.HealthState:
        request = messages.HealthRequest(container_id=id, run=run)
        answer: messages.HealthState = self._call(SUPERVISOR, "Health", request, messages.HealthState)
        return answer

    def remove(self, id: str, *, force: bool = False) -> None:
        self._call(SUPERVISOR, "Remove", messages.RemoveRequest(container_id=id, force=force), Empty)

    def until(self, id: str, holds: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
        """The status once a condition holds for it (None: it is gone)."""
        deadline = time.monotonic() + patience
        while True:
            status = self.status(id)
            if holds(status):
                return status
            assert time.monotonic() < deadline, f"it never came to that: {_shown(status)}"
            time.sleep(0.02)

    # -- history --

    def history(
        self, since: float = 0.0, until: float = 0.0, filters: tuple[str, ...] = (), *, follow: bool = False
    ) -> list[Envelope]:
        request = history_messages.ReadHistoryRequest(
            since=times.from_ns(round(since * 1e9)) if since else None,
            until=times.from_ns(round(until * 1e9)) if until else None,
            filters=list(filters),
            follow=follow,
        )
        with (
            Daemon(self.address, self.namespace) as daemon,
            daemon.stream(HISTORY, "Read", request, Envelope) as stream,
        ):
            return list(stream)

    # -- records --

    def edit(self, id: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the settings in a container's record, as another version of the client might."""
        request = container_messages.GetContainerRequest(id=id)
        record = self._call(CONTAINERS, "Get", request, container_messages.GetContainerResponse).container
        extension = record.extensions[EXTENSION]
        settings = json.loads(extension.value)
        change(settings)
        record.extensions = {EXTENSION: AnyMessage(type_url=extension.type_url, value=json.dumps(settings).encode())}
        mask = FieldMask(paths=[f"extensions.{EXTENSION}"])
        update = container_messages.UpdateContainerRequest(container=record, update_mask=mask)
        self._call(CONTAINERS, "Update", update, container_messages.UpdateContainerResponse)


def _shown(status: Any) -> str:
    if status is None:
        return "it is gone"
    return f"{status.status} exit {status.exit_code} restarts {status.restart_count} error {status.error!r}"


class Place:
    """A daemon with an image, the client program on it, and our own services."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.daemon = daemon
        self.pyctr = Pyctr(daemon)
        self.calls = Supervised(daemon.ttrpc)
        self.pyctr.load_busybox()

    def run(self, *words: str) -> str:
        """A container in the background; its box."""
        return self.pyctr.ok("run", "-d", *words)

    def crash(self, failpoints: str = "", environment: dict[str, str] | None = None) -> None:
        """Kill the daemon and start it anew, maybe so that it dies at a certain point."""
        self.daemon.kill()
        self.daemon._environment = {"PYCONTAINERD_FAILPOINTS": failpoints} if failpoints else {}
        self.daemon.start(wait=not failpoints)

    def wait_for_death(self) -> None:
        """Wait until an armed failpoint has ended the daemon."""
        assert self.daemon.process is not None
        assert self.daemon.process.wait(30) == -signal.SIGKILL
        self.daemon._environment = {}

    def reboot(self) -> None:
        """As if the host had gone down: no process of ours left, nothing under the state directory."""
        self.daemon.kill()
        self.daemon._sweep_processes_and_mounts()
        subprocess.run(["rm", "-rf", str(self.daemon.state)], check=True)
        self.daemon.start()


def running(status: Any) -> bool:
    return status is not None and status.status == "running"


def gone(status: Any) -> bool:
    return status is None


def check(command: str, *more: str, interval: str = "200ms") -> tuple[str, ...]:
    return ("--health-cmd", command, "--health-interval", interval, *more)


def health_of(place: Place, box: str, wanted: str) -> Any:
    return place.calls.until(box, lambda it: it is not None and it.health is not None and it.health.status == wanted)
