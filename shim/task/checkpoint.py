"""Checkpoint: a container's memory into a directory, where the runtime (with CRIU) can."""

from __future__ import annotations

import os

from pycontainerd.wire.messages.google import Empty
from shim.errors import from_oserror, invalid
from shim.states import check
from shim.task.options import checkpoint_options_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.wire.messages.task_v3 import CheckpointTaskRequest
    from pycontainerd.wire.messages.types_runc import CheckpointOptions
    from shim.context import Shim
    from shim.loop import Steps

_SWITCHES = {
    "open_tcp": "--tcp-established",
    "external_unix_sockets": "--ext-unix-sk",
    "terminal": "--shell-job",
    "file_locks": "--file-locks",
}


def checkpoint(shim: Shim, request: CheckpointTaskRequest) -> Steps[Empty]:
    """Write the image into `path`. Raises RpcError, UNIMPLEMENTED when the runtime has no such verb."""
    container = shim.container(request.id)
    if not request.path.startswith("/"):
        raise invalid(f"checkpoint path {request.path!r} is not absolute")
    arguments = flags(request.path, checkpoint_options_of(request.options))
    yield from container.turns.take()
    try:
        check("checkpoint", container.init.state)
        os.makedirs(request.path, 0o700, exist_ok=True)
        yield from container.runtime.call("checkpoint", arguments, id=container.id, log=container.log())
    except OSError as error:
        raise from_oserror("checkpoint", error) from None
    finally:
        container.turns.give()
    return Empty()


def flags(path: str, options: CheckpointOptions) -> list[str]:
    """The flags of the runtime's checkpoint."""
    arguments = ["--image-path", path]
    if options.work_path:
        arguments += ["--work-path", options.work_path]
    if not options.exit:
        arguments.append("--leave-running")
    arguments += [flag for name, flag in _SWITCHES.items() if getattr(options, name)]
    if options.cgroups_mode:
        arguments += ["--manage-cgroups-mode", options.cgroups_mode]
    for namespace in options.empty_namespaces:
        arguments += ["--empty-ns", namespace]
    return arguments
