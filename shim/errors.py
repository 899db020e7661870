"""How a shim refuses: a status code and one sentence, in the classes that containerd's clients tell apart."""

from __future__ import annotations

from pycontainerd.wire.codes import (
    ALREADY_EXISTS,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNIMPLEMENTED,
    UNKNOWN,
    RpcError,
)


def not_found(what: str) -> RpcError:
    """The thing named is not here."""
    return RpcError(NOT_FOUND, f"{what}: not found")


def already_exists(what: str) -> RpcError:
    """The name is taken."""
    return RpcError(ALREADY_EXISTS, f"{what}: already exists")


def precondition(why: str) -> RpcError:
    """The request is fine, the moment is not."""
    return RpcError(FAILED_PRECONDITION, f"{why}: failed precondition")


def invalid(why: str) -> RpcError:
    """The request can never be right."""
    return RpcError(INVALID_ARGUMENT, f"{why}: invalid argument")


def unknown(why: str) -> RpcError:
    """What containerd's own shim reports without a class: wrong states and failures of the runtime."""
    return RpcError(UNKNOWN, why)


def unimplemented(what: str) -> RpcError:
    """Nothing here, or the runtime, can do that."""
    return RpcError(UNIMPLEMENTED, f"{what}: not implemented")


def from_oserror(what: str, error: OSError) -> RpcError:
    """An operating system's refusal as one sentence that names the path."""
    path = f" {error.filename}" if error.filename else ""
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else UNKNOWN
    return RpcError(code, f"{what}{path}: {error.strerror or error}")
