"""Errors to status codes and back: the one table between ``core.errors`` and both transports."""

from __future__ import annotations

import asyncio

from pycontainerd.core import errors
from pycontainerd.wire.codes import (
    ABORTED,
    ALREADY_EXISTS,
    CANCELLED,
    DATA_LOSS,
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    OUT_OF_RANGE,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    UNKNOWN,
)

CODES: dict[type[errors.PycontainerdError], int] = {
    errors.PycontainerdError: UNKNOWN,
    errors.Unknown: UNKNOWN,
    errors.Cancelled: CANCELLED,
    errors.InvalidArgument: INVALID_ARGUMENT,
    errors.DeadlineExceeded: DEADLINE_EXCEEDED,
    errors.NotFound: NOT_FOUND,
    errors.AlreadyExists: ALREADY_EXISTS,
    errors.PermissionDenied: PERMISSION_DENIED,
    errors.ResourceExhausted: RESOURCE_EXHAUSTED,
    errors.FailedPrecondition: FAILED_PRECONDITION,
    errors.Aborted: ABORTED,
    errors.OutOfRange: OUT_OF_RANGE,
    errors.Unimplemented: UNIMPLEMENTED,
    errors.Unavailable: UNAVAILABLE,
    errors.DataLoss: DATA_LOSS,
    errors.Unauthenticated: UNAUTHENTICATED,
}
"""Error class to status code; a subclass without an entry has its nearest ancestor's."""

CLASSES: dict[int, type[errors.PycontainerdError]] = {
    code: kind for kind, code in CODES.items() if kind is not errors.PycontainerdError
}
"""The inverse: what a client raises for a code."""

MAX_MESSAGE = 2048
"""Longest message that travels, in bytes as it is escaped: it becomes an HTTP/2 trailer, and clients take 8 KiB."""
_KEPT_TAIL = 64
"""How much of the end stays when the middle is left out: the class text there is part of the contract."""


def code_of(error: BaseException) -> int | None:
    """The code of one of our errors, its nearest ancestor's where it has none of its own; None for any other."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), None)


def status_of(error: BaseException) -> tuple[int, str] | None:
    """The (code, message) that answers ``error``; None when it is a bug and has to be logged as one."""
    code = code_of(error)
    if code is not None:
        return code, clip(str(error))
    if isinstance(error, TimeoutError):
        return DEADLINE_EXCEEDED, "context deadline exceeded"
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED, "context canceled"
    return None


def internal(error: BaseException) -> tuple[int, str]:
    """The answer to a bug: one sentence, the traceback stays in the log."""
    return INTERNAL, clip(f"internal error: {type(error).__name__}: {error} (the daemon's log has the traceback)")


def error_from(code: int, message: str) -> errors.PycontainerdError:
    """The error for a status that came from elsewhere; the message is taken as it is."""
    kind = CLASSES.get(code, errors.Unknown)
    if kind is errors.FailedPrecondition:
        # Both travel under the same code; the class text at the end tells them apart.
        for special in (errors.Conflict, errors.NotModified):
            if message.endswith(special.text):
                kind = special
    error = kind.__new__(kind)
    error.what, error.which, error.hint = message, "", ""
    Exception.__init__(error, message)
    return error


def clip(message: str) -> str:
    """One line of bounded length; what is too much is left out of the middle."""
    line = " ".join(message.encode(errors="backslashreplace").decode().split("\n")).strip()
    if _escaped(line) <= MAX_MESSAGE:
        return line
    tail = line[-_KEPT_TAIL:]
    left = MAX_MESSAGE - _escaped(tail) - _escaped("…")
    for end, character in enumerate(line):
        left -= _escaped(character)
        if left < 0:
            return f"{line[:end]}…{tail}"
    return line


def _escaped(text: str) -> int:
    """Bytes of ``text`` as gRPC sends it: whatever is not printable ASCII takes three for each byte."""
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode())
