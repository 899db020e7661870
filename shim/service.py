"""The services a shim offers: which method takes which message and is answered by whom.

`containerd.task.v2.Task` and `v3` have the same messages under other names; one table serves both.
"""

from __future__ import annotations

from pycontainerd.wire.codec import DecodeError, Message
from pycontainerd.wire.codes import INTERNAL, RpcError
from pycontainerd.wire.messages import attach as a
from pycontainerd.wire.messages import task_v3 as t
from pycontainerd.wire.ttrpc import TRACE_HEADER
from shim.errors import invalid, unimplemented
from shim.loop import drive, where
from shim.task.checkpoint import checkpoint
from shim.task.create import create
from shim.task.delete import delete
from shim.task.exec import exec_process
from shim.task.kill import kill
from shim.task.pause import pause, resume
from shim.task.query import connect, pids, state, wait
from shim.task.shutdown import shutdown
from shim.task.start import start
from shim.task.stats import stats
from shim.task.streams import attach, close_io, detach, reopen_log, resize_pty
from shim.task.update import update
from shim.trace import trace_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from pycontainerd.wire.server import Request
    from shim.context import Shim
    from shim.trace import NoTrace

    Handler = Callable[..., Any]
    Respond = Callable[[Message], None]
    Fail = Callable[[int, str], None]

    class Serves(Protocol):
        """Whoever answers requests."""

        def serve(self, request: Request, respond: Respond, fail: Fail) -> None:
            """Answer one request, now or later, once."""


TASK_SERVICES = ("containerd.task.v3.Task", "containerd.task.v2.Task")
ATTACH_SERVICE = "pycontainerd.attach.v1.Attach"

PLAIN, STEPS, TRACED = 0, 1, 2

TASK: dict[str, tuple[type[Message], int, Handler]] = {
    "Create": (t.CreateTaskRequest, TRACED, create),
    "Start": (t.StartRequest, TRACED, start),
    "State": (t.StateRequest, PLAIN, state),
    "Delete": (t.DeleteRequest, TRACED, delete),
    "Pids": (t.PidsRequest, PLAIN, pids),
    "Pause": (t.PauseRequest, STEPS, pause),
    "Resume": (t.ResumeRequest, STEPS, resume),
    "Checkpoint": (t.CheckpointTaskRequest, STEPS, checkpoint),
    "Kill": (t.KillRequest, STEPS, kill),
    "Exec": (t.ExecProcessRequest, PLAIN, exec_process),
    "ResizePty": (t.ResizePtyRequest, PLAIN, resize_pty),
    "CloseIO": (t.CloseIORequest, PLAIN, close_io),
    "Update": (t.UpdateTaskRequest, STEPS, update),
    "Wait": (t.WaitRequest, STEPS, wait),
    "Stats": (t.StatsRequest, PLAIN, stats),
    "Connect": (t.ConnectRequest, PLAIN, connect),
    "Shutdown": (t.ShutdownRequest, PLAIN, shutdown),
}
ATTACH: dict[str, tuple[type[Message], int, Handler]] = {
    "Attach": (a.AttachRequest, PLAIN, attach),
    "Detach": (a.DetachRequest, PLAIN, detach),
    "ReopenLog": (a.ReopenLogRequest, PLAIN, reopen_log),
}
SERVICES = {**dict.fromkeys(TASK_SERVICES, TASK), ATTACH_SERVICE: ATTACH}


class Service:
    """Calls the verbs. Every request is answered exactly once, through `respond` or `fail`."""

    __slots__ = ("_shim",)

    def __init__(self, shim: Shim) -> None:
        self._shim = shim

    def serve(self, request: Request, respond: Respond, fail: Fail) -> None:
        """Carry out one request, now or in steps."""
        try:
            cls, kind, handler = self._method(request)
            try:
                message = cls.decode(request.payload)
            except DecodeError as error:
                raise invalid(f"{request.method}: {error}") from None
            if kind == PLAIN:
                respond(handler(self._shim, message))
                return
        except RpcError as error:
            fail(error.code, error.message)
            return
        except Exception as error:  # noqa: BLE001 - a defect of ours must reach the caller as an answer
            self._defect(request, error, fail)
            return
        self._steps(request, handler, message, kind == TRACED, respond, fail)

    def _method(self, request: Request) -> tuple[type[Message], int, Handler]:
        methods = SERVICES.get(request.service)
        if methods is None:
            raise unimplemented(f"service {request.service}")
        method = methods.get(request.method)
        if method is None:
            raise unimplemented(f"method {request.method}")
        return method

    def _steps(
        self, request: Request, handler: Handler, message: Message, traced: bool, respond: Respond, fail: Fail
    ) -> None:
        trace = trace_of(request.first(TRACE_HEADER))

        def done(value: Any, error: BaseException | None) -> None:
            if error is None:
                respond(value)
            elif isinstance(error, RpcError):
                fail(error.code, error.message)
            else:
                self._defect(request, error, fail)
            trace.send(self._shim.events)

        if not traced:
            drive(handler(self._shim, message), done)
        elif trace.on:
            drive(_rooted(request.method, handler, self._shim, message, trace), done)
        else:
            drive(handler(self._shim, message, trace), done)

    def _defect(self, request: Request, error: BaseException, fail: Fail) -> None:
        text = f"{request.method}: unexpected {type(error).__name__}: {error}"
        self._shim.journal.error(text + where(error))
        fail(INTERNAL, text)


def _rooted(name: str, handler: Handler, shim: Shim, message: Message, trace: NoTrace) -> Any:
    """The steps of a traced request inside its own span."""
    with trace.step(f"shim {name.lower()}"):
        return (yield from handler(shim, message, trace))
