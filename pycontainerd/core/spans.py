"""The tracing seam of the engines: a callback, never an SDK.

An engine that wants to be seen takes ``span: Span = no_span`` and writes ``with span("unpack", digest=d):``. The daemon
injects the real thing; off means a shared null object, which costs a call.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

_NULL = nullcontext()


class Span(Protocol):
    """Opens a span with attributes; errors leaving the block are recorded on it."""

    def __call__(self, name: str, /, **attributes: str | int | float | bool) -> AbstractContextManager[object]: ...


def no_span(name: str, /, **attributes: str | int | float | bool) -> AbstractContextManager[object]:
    """The span of a daemon that does not trace."""
    return _NULL
