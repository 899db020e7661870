"""pycontainerd.attach.v1: join the streams of a live process (our own; containerd leaves this to the client)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.attach.v1 import attach_pb2 as pb
from pycontainerd.core.tasks import Attachment
from pycontainerd.rpc.service import Service

if TYPE_CHECKING:
    from pycontainerd.core.tasks import TaskManager
    from pycontainerd.rpc.call import Call


class AttachService(Service):
    """The Attach service; the shim does the work."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Attach"]

    def __init__(self, tasks: TaskManager) -> None:
        self._tasks = tasks

    async def Attach(self, request: pb.AttachRequest, call: Call) -> pb.AttachResponse:
        """Connect the client's FIFOs, after the tail it asked for."""
        fifos = Attachment(request.stdin, request.stdout, request.stderr, request.replay, request.waited_for)
        return pb.AttachResponse(
            attachment=await self._tasks.attach(call.namespace, request.id, request.exec_id, fifos)
        )

    async def Detach(self, request: pb.DetachRequest, call: Call) -> Empty:
        """Disconnect them; the process runs on."""
        await self._tasks.detach(call.namespace, request.id, request.exec_id, request.attachment)
        return Empty()

    async def ReopenLog(self, request: pb.ReopenLogRequest, call: Call) -> Empty:
        """Open the log file by its name again."""
        await self._tasks.reopen_log(call.namespace, request.id, request.exec_id)
        return Empty()
