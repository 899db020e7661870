"""Pause and resume: the runtime freezes and thaws."""

from __future__ import annotations

from pycontainerd.wire.messages.events_task import TaskPaused, TaskResumed
from pycontainerd.wire.messages.google import Empty
from shim.states import PAUSED, RUNNING, STOPPED, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import PauseRequest, ResumeRequest
    from shim.container import Container
    from shim.context import Shim
    from shim.loop import Steps


def pause(shim: Shim, request: PauseRequest) -> Steps[Empty]:
    """Freeze every process of the container. Raises RpcError."""
    container = shim.container(request.id)
    yield from _change(container, "pause", PAUSED)
    shim.events.publish(TaskPaused(container_id=request.id))
    return Empty()


def resume(shim: Shim, request: ResumeRequest) -> Steps[Empty]:
    """Let them run again. Raises RpcError."""
    container = shim.container(request.id)
    yield from _change(container, "resume", RUNNING)
    shim.events.publish(TaskResumed(container_id=request.id))
    return Empty()


def _change(container: Container, verb: str, becomes: str) -> Steps[None]:
    yield from container.turns.take()
    try:
        check(verb, container.init.state)
        yield from container.runtime.call(verb, [], id=container.id, log=container.log())
        if container.init.state != STOPPED:
            container.init.state = becomes
    finally:
        container.turns.give()
