"""Status codes of gRPC and ttrpc, and the error that carries one."""

from __future__ import annotations

OK = 0
CANCELLED = 1
UNKNOWN = 2
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
ABORTED = 10
OUT_OF_RANGE = 11
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
DATA_LOSS = 15
UNAUTHENTICATED = 16

NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
VALUES = {name: value for value, name in enumerate(NAMES)}


def name(code: int) -> str:
    """The name of a code; a number that is none is shown as `CODE(n)`."""
    return NAMES[code] if 0 <= code < len(NAMES) else f"CODE({code})"


class RpcError(Exception):
    """A call that was answered with a status other than OK, or that got no answer.

    `code` is one of the constants above, `message` the text as sent; `str()` is the message alone.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({name(self.code)}, {self.message!r})"


class ConnectError(RpcError):
    """Nothing could be reached at the address; the request was not sent."""


class ConnectionLost(RpcError):
    """The connection ended before the answer; whether the request was carried out is unknown."""
