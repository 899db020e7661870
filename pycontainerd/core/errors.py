"""Every error the engines raise, named as the gRPC status codes are.

Each class is built from *what* failed and *which* one it was, so that a message always names the thing:
``NotFound("image", name)`` reads ``image "name": not found``. Transports turn classes into codes in
``pycontainerd.rpc.errors``; nothing here knows about gRPC. The class texts at the end of a message are part of the
contract: clients of containerd tell conflicts from other failed preconditions by them.
"""

from __future__ import annotations


class PycontainerdError(Exception):
    """Base of all errors that are answers rather than bugs.

    ``what`` is a noun or a whole sentence, ``which`` the thing it is about (quoted in the message), ``hint`` what the
    reader can do about it.
    """

    text = "unknown"

    def __init__(self, what: str, which: object = "", hint: str = "") -> None:
        self.what, self.which, self.hint = what, which, hint
        super().__init__(self._message())

    def _message(self) -> str:
        subject = f'{self.what} "{self.which}"' if self.which != "" else self.what
        reason = f" ({self.hint})" if self.hint else ""
        return f"{subject}{reason}: {self.text}" if self.text else f"{subject}{reason}"

    def during(self, step: str) -> PycontainerdError:
        """The same error, of the same class, with ``step`` before its message: ``step: message``."""
        copy = self.__class__.__new__(self.__class__)
        copy.__dict__.update(self.__dict__)
        Exception.__init__(copy, f"{step}: {self}")
        return copy


class Unknown(PycontainerdError):
    """Raised when the contract asks for an unmapped error, or when a runtime gave nothing better."""

    text = ""


class InvalidArgument(PycontainerdError):
    """Raised when the request itself is wrong, whatever the state."""

    text = "invalid argument"


class NotFound(PycontainerdError):
    """Raised when the named thing does not exist in this namespace."""

    text = "not found"


class AlreadyExists(PycontainerdError):
    """Raised when the name is taken."""

    text = "already exists"


class FailedPrecondition(PycontainerdError):
    """Raised when the thing is in the wrong state for the request."""

    text = "failed precondition"


class Conflict(FailedPrecondition):
    """Raised when a concurrent change won; travels as FAILED_PRECONDITION."""

    text = "conflict"


class NotModified(FailedPrecondition):
    """Raised when there was nothing to change; travels as FAILED_PRECONDITION."""

    text = "not modified"


class Unavailable(PycontainerdError):
    """Raised when a retry may succeed."""

    text = "unavailable"


class Unimplemented(PycontainerdError):
    """Raised when the operation is not offered for this kind of thing."""

    text = "not implemented"


class OutOfRange(PycontainerdError):
    """Raised when an offset lies outside the object."""

    text = "out of range"


class Aborted(PycontainerdError):
    """Raised when the operation was given up half-way and left nothing behind."""

    text = "aborted"


class DataLoss(PycontainerdError):
    """Raised when bytes are not what they were promised to be."""

    text = "data loss"


class ResourceExhausted(PycontainerdError):
    """Raised when a limit or a disk is full."""

    text = "resource exhausted"


class PermissionDenied(PycontainerdError):
    """Raised when policy refuses."""

    text = "permission denied"


class Unauthenticated(PycontainerdError):
    """Raised when credentials are missing or wrong."""

    text = "unauthenticated"


class DeadlineExceeded(PycontainerdError):
    """Raised when the time given ran out."""

    text = "deadline exceeded"


class Cancelled(PycontainerdError):
    """Raised when the caller went away."""

    text = "context canceled"
