"""containerd.services.tasks.v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.tasks.v1 import tasks_pb2 as pb
from pycontainerd.api.types.metrics_pb2 import Metric as MetricMessage
from pycontainerd.api.types.task import task_pb2
from pycontainerd.core.tasks import CreateTask, Stdio
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import (
    from_descriptor,
    from_mounts,
    optional_any,
    to_any,
    to_descriptor,
    to_timestamp,
)

if TYPE_CHECKING:
    from pycontainerd.core.tasks import Exit, Metric, Process, TaskManager
    from pycontainerd.rpc.call import Call


class TasksService(Service):
    """The Tasks service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Tasks"]

    def __init__(self, tasks: TaskManager) -> None:
        self._tasks = tasks

    async def Create(self, request: pb.CreateTaskRequest, call: Call) -> pb.CreateTaskResponse:
        """Make the task of a container; its init waits for Start."""
        pid = await self._tasks.create(call.namespace, _create(request))
        return pb.CreateTaskResponse(container_id=request.container_id, pid=pid)

    async def Start(self, request: pb.StartRequest, call: Call) -> pb.StartResponse:
        """Start the init process or an exec."""
        return pb.StartResponse(pid=await self._tasks.start(call.namespace, request.container_id, request.exec_id))

    async def Delete(self, request: pb.DeleteTaskRequest, call: Call) -> pb.DeleteResponse:
        """Delete a task that does not run."""
        return _deleted(await self._tasks.delete(call.namespace, request.container_id))

    async def DeleteProcess(self, request: pb.DeleteProcessRequest, call: Call) -> pb.DeleteResponse:
        """Delete an exec that does not run."""
        ended = await self._tasks.delete_process(call.namespace, request.container_id, request.exec_id)
        return _deleted(ended, request.exec_id)

    async def Get(self, request: pb.GetRequest, call: Call) -> pb.GetResponse:
        """One process."""
        found = await self._tasks.get(call.namespace, request.container_id, request.exec_id)
        return pb.GetResponse(process=_process(found))

    async def List(self, request: pb.ListTasksRequest, call: Call) -> pb.ListTasksResponse:
        """The init processes of this namespace; peers ignore the filter too."""
        return pb.ListTasksResponse(tasks=map(_process, await self._tasks.list(call.namespace)))

    async def Kill(self, request: pb.KillRequest, call: Call) -> Empty:
        """Send a signal."""
        await self._tasks.kill(call.namespace, request.container_id, request.exec_id, request.signal, all=request.all)
        return Empty()

    async def Exec(self, request: pb.ExecProcessRequest, call: Call) -> Empty:
        """Register an exec; Start runs it."""
        spec = optional_any(request, "spec")
        await self._tasks.exec(call.namespace, request.container_id, request.exec_id, _stdio(request), spec)
        return Empty()

    async def ResizePty(self, request: pb.ResizePtyRequest, call: Call) -> Empty:
        """Set the terminal's size in characters."""
        await self._tasks.resize_pty(
            call.namespace, request.container_id, request.exec_id, request.width, request.height
        )
        return Empty()

    async def CloseIO(self, request: pb.CloseIORequest, call: Call) -> Empty:
        """Close the process's stdin."""
        await self._tasks.close_io(call.namespace, request.container_id, request.exec_id, stdin=request.stdin)
        return Empty()

    async def Pause(self, request: pb.PauseTaskRequest, call: Call) -> Empty:
        """Freeze all processes."""
        await self._tasks.pause(call.namespace, request.container_id)
        return Empty()

    async def Resume(self, request: pb.ResumeTaskRequest, call: Call) -> Empty:
        """Thaw them."""
        await self._tasks.resume(call.namespace, request.container_id)
        return Empty()

    async def ListPids(self, request: pb.ListPidsRequest, call: Call) -> pb.ListPidsResponse:
        """Every process in the container, execs with their details."""
        pids = await self._tasks.pids(call.namespace, request.container_id)
        return pb.ListPidsResponse(processes=[task_pb2.ProcessInfo(pid=pid, info=to_any(info)) for pid, info in pids])

    async def Checkpoint(self, request: pb.CheckpointTaskRequest, call: Call) -> pb.CheckpointTaskResponse:
        """Checkpoint into content, where the runtime can."""
        options = optional_any(request, "options")
        made = await self._tasks.checkpoint(
            call.namespace, request.container_id, request.parent_checkpoint, options, call.lease
        )
        return pb.CheckpointTaskResponse(descriptors=map(to_descriptor, made))

    async def Update(self, request: pb.UpdateTaskRequest, call: Call) -> Empty:
        """Change resource limits."""
        resources = optional_any(request, "resources")
        await self._tasks.update(call.namespace, request.container_id, resources, dict(request.annotations))
        return Empty()

    async def Metrics(self, request: pb.MetricsRequest, call: Call) -> pb.MetricsResponse:
        """Resource use of the tasks that match; a missing namespace is an unmapped error here."""
        metrics = await self._tasks.metrics(call.unmapped_namespace, tuple(request.filters))
        return pb.MetricsResponse(metrics=map(_metric, metrics))

    async def Wait(self, request: pb.WaitRequest, call: Call) -> pb.WaitResponse:
        """Wait until the process has exited."""
        ended = await self._tasks.wait(call.namespace, request.container_id, request.exec_id)
        return pb.WaitResponse(exit_status=ended.status, exited_at=to_timestamp(ended.at))


def _stdio(request: pb.CreateTaskRequest | pb.ExecProcessRequest) -> Stdio:
    return Stdio(request.stdin, request.stdout, request.stderr, request.terminal)


def _create(request: pb.CreateTaskRequest) -> CreateTask:
    return CreateTask(
        container_id=request.container_id,
        rootfs=from_mounts(request.rootfs),
        stdio=_stdio(request),
        checkpoint=from_descriptor(request.checkpoint) if request.HasField("checkpoint") else None,
        options=optional_any(request, "options"),
        runtime_path=request.runtime_path,
        task_api_address=request.task_api_address,
        task_api_version=request.task_api_version,
    )


def _deleted(ended: Exit, exec_id: str = "") -> pb.DeleteResponse:
    return pb.DeleteResponse(
        id=ended.id or exec_id, pid=ended.pid, exit_status=ended.status, exited_at=to_timestamp(ended.at)
    )


def _process(value: Process) -> task_pb2.Process:
    # ``container_id`` stays empty and ``id`` carries the container's or the exec's id, as peers answer.
    return task_pb2.Process(
        id=value.exec_id or value.container_id,
        pid=value.pid,
        status=task_pb2.Status.Name(value.status.value),
        stdin=value.stdio.stdin,
        stdout=value.stdio.stdout,
        stderr=value.stdio.stderr,
        terminal=value.stdio.terminal,
        exit_status=value.exit_status,
        exited_at=to_timestamp(value.exited_at),
    )


def _metric(value: Metric) -> MetricMessage:
    return MetricMessage(id=value.id, timestamp=to_timestamp(value.timestamp), data=to_any(value.data))
