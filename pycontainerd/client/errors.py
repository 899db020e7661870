"""From status codes on the wire back to the classes of ``core.errors``."""

from __future__ import annotations

from pycontainerd.core import errors
from pycontainerd.wire import codes
from pycontainerd.wire.codes import ConnectError, RpcError

_CLASSES: dict[int, type[errors.PycontainerdError]] = {
    codes.CANCELLED: errors.Cancelled,
    codes.UNKNOWN: errors.Unknown,
    codes.INVALID_ARGUMENT: errors.InvalidArgument,
    codes.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    codes.NOT_FOUND: errors.NotFound,
    codes.ALREADY_EXISTS: errors.AlreadyExists,
    codes.PERMISSION_DENIED: errors.PermissionDenied,
    codes.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    codes.FAILED_PRECONDITION: errors.FailedPrecondition,
    codes.ABORTED: errors.Aborted,
    codes.OUT_OF_RANGE: errors.OutOfRange,
    codes.UNIMPLEMENTED: errors.Unimplemented,
    codes.INTERNAL: errors.Unknown,
    codes.UNAVAILABLE: errors.Unavailable,
    codes.DATA_LOSS: errors.DataLoss,
    codes.UNAUTHENTICATED: errors.Unauthenticated,
}


def from_rpc(error: RpcError) -> errors.PycontainerdError:
    """The error that a status means; its class text at the end of the message is taken off, since the class says it."""
    if isinstance(error, ConnectError):
        hint = "is the daemon running, and is this its socket? See --address and PYCTR_ADDRESS"
        return errors.Unavailable(error.message.partition("; does its")[0], hint=hint)
    cls = _CLASSES.get(error.code, errors.Unknown)
    message = error.message
    if cls is errors.FailedPrecondition:
        for narrower in (errors.Conflict, errors.NotModified):
            if message.endswith(": " + narrower.text):
                cls = narrower
    if cls is errors.Unimplemented and message.startswith(("service ", "method ")):
        message = f"the daemon does not offer {message}"
    if cls.text:
        message = message.removesuffix(": " + cls.text)
    return cls(message)
