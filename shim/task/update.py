"""Update: new limits for a container, through the runtime."""

from __future__ import annotations

import os

from pycontainerd.linux.fds import write_file
from pycontainerd.wire.messages.google import Empty
from shim.errors import from_oserror, invalid
from shim.jsontext import loads
from shim.states import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import UpdateTaskRequest
    from shim.context import Shim
    from shim.loop import Steps


def update(shim: Shim, request: UpdateTaskRequest) -> Steps[Empty]:
    """Apply OCI LinuxResources (JSON). Raises RpcError."""
    container = shim.container(request.id)
    value = request.resources.value if request.resources is not None else b""
    try:
        resources = loads(value)
    except ValueError as error:
        raise invalid(f"resources: {error}") from None
    if not isinstance(resources, dict):
        raise invalid("resources are no JSON object")
    path = f"{container.bundle}/resources.json"
    yield from container.turns.take()
    try:
        check("update", container.init.state)
        write_file(path, value)
        yield from container.runtime.call("update", ["--resources", path], id=container.id, log=container.log())
    except OSError as error:
        raise from_oserror("update", error) from None
    finally:
        try:
            os.unlink(path)
        except OSError:
            pass
        container.turns.give()
    return Empty()
