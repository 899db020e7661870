"""What a failed file operation means to a caller."""

from __future__ import annotations

import errno

from pycontainerd.core.errors import PermissionDenied, PycontainerdError, ResourceExhausted, Unknown

_FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_error(error: OSError, what: str, which: str) -> PycontainerdError:
    """The answer for an OSError met while working on the thing ``what`` ``which``."""
    place = f" ({error.filename})" if error.filename else ""
    reason = f"{error.strerror or error}{place}"
    if error.errno in _FULL:
        return ResourceExhausted(what, which, f"{reason}: free some space and retry")
    if error.errno in (errno.EACCES, errno.EPERM):
        return PermissionDenied(what, which, f"{reason}: the daemon must run as root with its full capabilities")
    return Unknown(what, which, reason)
