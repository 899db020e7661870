"""What concerns a live process's streams: terminal size, end of input, clients that come and go."""

from __future__ import annotations

from pycontainerd.wire.messages.attach import AttachResponse
from pycontainerd.wire.messages.google import Empty
from shim.errors import not_found, precondition
from shim.states import STOPPED
from shim.stdio.setup import Names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.attach import AttachRequest, DetachRequest, ReopenLogRequest
    from pycontainerd.wire.messages.task_v3 import CloseIORequest, ResizePtyRequest
    from shim.context import Shim
    from shim.stdio.setup import Stdio


def _streams(shim: Shim, id: str, exec_id: str) -> Stdio:
    process = shim.container(id).process(exec_id)
    if process.stdio is None:
        raise not_found(f"streams of process {exec_id or id}")
    return process.stdio


def resize_pty(shim: Shim, request: ResizePtyRequest) -> Empty:
    """Set the size of the process's terminal; one without a terminal takes no notice. Raises RpcError NOT_FOUND."""
    _streams(shim, request.id, request.exec_id).resize(request.width, request.height)
    return Empty()


def close_io(shim: Shim, request: CloseIORequest) -> Empty:
    """Let the process see the end of its input, after what was written. Raises RpcError NOT_FOUND."""
    streams = _streams(shim, request.id, request.exec_id)
    if request.stdin:
        streams.close_stdin()
    return Empty()


def attach(shim: Shim, request: AttachRequest) -> AttachResponse:
    """Join a process's streams. Raises RpcError: NOT_FOUND, FAILED_PRECONDITION when it is over."""
    streams = _streams(shim, request.id, request.exec_id)
    if shim.container(request.id).process(request.exec_id).state == STOPPED:
        raise precondition(f"process {request.exec_id or request.id} has ended")
    names = Names(request.stdin, request.stdout, request.stderr, terminal=False)
    return AttachResponse(attachment=streams.attach(names, request.replay, request.waited_for))


def detach(shim: Shim, request: DetachRequest) -> Empty:
    """Leave. Raises RpcError NOT_FOUND."""
    if not _streams(shim, request.id, request.exec_id).detach(request.attachment):
        raise not_found(f"attachment {request.attachment!r}")
    return Empty()


def reopen_log(shim: Shim, request: ReopenLogRequest) -> Empty:
    """Open the log file by its name again. Raises RpcError: NOT_FOUND, FAILED_PRECONDITION when there is none open."""
    streams = _streams(shim, request.id, request.exec_id)
    if shim.container(request.id).process(request.exec_id).state == STOPPED:
        raise precondition(f"process {request.exec_id or request.id} has ended")
    streams.reopen_log()
    return Empty()
