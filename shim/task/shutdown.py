"""Shutdown: end the shim, unless it holds containers (of the same group, perhaps created this moment)."""

from __future__ import annotations

from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import ShutdownRequest
    from shim.context import Shim


def shutdown(shim: Shim, request: ShutdownRequest) -> Empty:
    """Answer, and end once the answer and every event are out."""
    if not shim.containers and not shim.creating:
        shim.loop.soon(shim.shutdown)
    return Empty()
