"""pycontainerd.supervisor.v1: restarts, ends, health and removal of containers (our own)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.supervisor.v1 import supervisor_pb2 as pb
from pycontainerd.core.health import NONE, Health
from pycontainerd.core.supervision import RESTARTING
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.core.supervision import RunState
    from pycontainerd.rpc.call import Call


class Seen(Protocol):
    """A supervised container."""

    id: str
    state: RunState

    @property
    def status(self) -> str: ...


class Supervision(Protocol):
    """The engine: ``pycontainerd.runtime.supervisor_requests.Requests``."""

    def status(self, namespace: str, ids: Sequence[str] = ()) -> Sequence[Seen]: ...

    async def start(self, namespace: str, id: str) -> int: ...

    async def stop(self, namespace: str, id: str, signal: int = 0, patience: float | None = None) -> int: ...

    async def mark_stopped(self, namespace: str, id: str) -> None: ...

    async def set_policy(self, namespace: str, id: str, policy: str) -> None: ...

    async def wait(self, namespace: str, id: str, condition: str = "") -> RunState: ...

    async def health(self, namespace: str, id: str, *, run: bool = False) -> Health | None: ...

    async def remove(self, namespace: str, id: str, *, force: bool = False, volumes: bool = False) -> None: ...


class SupervisorService(Service):
    """The Supervisor service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Supervisor"]

    def __init__(self, engine: Supervision) -> None:
        self._engine = engine

    async def Status(self, request: pb.StatusRequest, call: Call) -> pb.StatusResponse:
        """How containers are, from memory."""
        found = self._engine.status(call.namespace, tuple(request.container_ids))
        return pb.StatusResponse(containers=map(_status, found))

    async def Start(self, request: pb.StartRequest, call: Call) -> pb.StartResponse:
        """Make a container's task and start it."""
        return pb.StartResponse(pid=await self._engine.start(call.namespace, request.container_id))

    async def Stop(self, request: pb.StopRequest, call: Call) -> pb.StopResponse:
        """End a container, for good as far as its policy goes."""
        patience = request.timeout if request.HasField("timeout") else None
        code = await self._engine.stop(call.namespace, request.container_id, request.signal, patience)
        return pb.StopResponse(exit_code=code)

    async def MarkStopped(self, request: pb.MarkStoppedRequest, call: Call) -> Empty:
        """Note that somebody ends a container."""
        await self._engine.mark_stopped(call.namespace, request.container_id)
        return Empty()

    async def SetPolicy(self, request: pb.SetPolicyRequest, call: Call) -> Empty:
        """Change the restart policy."""
        await self._engine.set_policy(call.namespace, request.container_id, request.policy)
        return Empty()

    async def Wait(self, request: pb.WaitRequest, call: Call) -> pb.WaitResponse:
        """Block until a condition holds."""
        state = await self._engine.wait(call.namespace, request.container_id, request.condition)
        finished = to_timestamp(state.finished_at)
        return pb.WaitResponse(exit_code=state.exit_code, finished_at=finished, error=state.error)

    async def Health(self, request: pb.HealthRequest, call: Call) -> pb.HealthState:
        """How healthy a container is."""
        health = await self._engine.health(call.namespace, request.container_id, run=request.run)
        return _health(health, results=True) if health is not None else pb.HealthState(status=NONE)

    async def Remove(self, request: pb.RemoveRequest, call: Call) -> Empty:
        """Remove a container with all that is its own."""
        await self._engine.remove(call.namespace, request.container_id, force=request.force, volumes=request.volumes)
        return Empty()


def _status(seen: Seen) -> pb.ContainerStatus:
    state = seen.state
    message = pb.ContainerStatus(
        container_id=seen.id,
        status=seen.status,
        pid=state.pid,
        exit_code=state.exit_code,
        oom_killed=state.oom_killed,
        error=state.error,
        restart_count=state.attempts.count,
        stopped=state.stopped,
    )
    if state.started_at is not None:
        message.started_at.CopyFrom(to_timestamp(state.started_at))
    if state.finished_at is not None:
        message.finished_at.CopyFrom(to_timestamp(state.finished_at))
    if state.restart_at is not None and state.status == RESTARTING:
        message.restart_at.CopyFrom(to_timestamp(state.restart_at))
    if state.health is not None:
        message.health.CopyFrom(_health(state.health, results=False))
    return message


def _health(health: Health, *, results: bool) -> pb.HealthState:
    return pb.HealthState(
        status=health.status,
        failing_streak=health.streak,
        results=[
            pb.HealthResult(
                start=to_timestamp(each.start),
                end=to_timestamp(each.end),
                exit_code=each.exit_code,
                output=each.output,
            )
            for each in (health.results if results else ())
        ],
    )
