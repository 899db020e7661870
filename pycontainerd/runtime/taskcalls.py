"""What is asked of a task that exists: each a call or two to its shim. The lives of tasks are in ``tasks``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf import empty_pb2

from pycontainerd.api.attach.v1 import attach_pb2
from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.api.types.runc import options_pb2
from pycontainerd.core import filters as filter_language
from pycontainerd.core import happenings
from pycontainerd.core.errors import DeadlineExceeded, InvalidArgument, PycontainerdError, Unimplemented, Unknown
from pycontainerd.core.happenings import untold
from pycontainerd.core.identifiers import validate_identifier
from pycontainerd.core.tasks import Exit, Metric, NoTaskWatcher, Process, Status
from pycontainerd.core.values import AnyValue
from pycontainerd.runtime.convert import any_message, any_value, exit_of, now, process_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.message import Message

    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.happenings import Tell
    from pycontainerd.core.tasks import Attachment, Stdio, TaskWatcher
    from pycontainerd.core.values import Descriptor
    from pycontainerd.runtime.checkpoints import Checkpoints
    from pycontainerd.runtime.shims import Offload
    from pycontainerd.runtime.table import Table, Task

ATTACH_SERVICE = "pycontainerd.attach.v1.Attach"
STATE_LIMIT = 10.0
"""Seconds a shim has to say how its processes are."""
_CHECKPOINT_OPTIONS = "containerd.runc.v1.CheckpointOptions"


class TaskCalls:
    """The part of ``core.tasks.TaskManager`` that neither makes nor ends tasks. Event loop only."""

    def __init__(
        self,
        table: Table,
        containers: ContainerStore,
        checkpoints: Checkpoints,
        offload: Offload,
        tell: Tell = untold,
    ) -> None:
        self.table, self.offload = table, offload
        self.watcher: TaskWatcher = NoTaskWatcher()
        self._containers, self._checkpoints, self._tell = containers, checkpoints, tell

    # Execs and signals

    async def exec(self, namespace: str, id: str, exec_id: str, stdio: Stdio, spec: AnyValue | None) -> None:
        """Register a further process. Raises InvalidArgument (bad id), AlreadyExists, NotFound, Unknown (stopped)."""
        validate_identifier(exec_id, "exec id")
        message = task_pb2.ExecProcessRequest(
            id=id,
            exec_id=exec_id,
            terminal=stdio.terminal,
            stdin=stdio.stdin,
            stdout=stdio.stdout,
            stderr=stdio.stderr,
            spec=any_message(spec),
        )
        await self._call(namespace, id, "Exec", message)
        self._tell(namespace, happenings.exec_created(id, exec_id, spec))

    async def delete_process(self, namespace: str, id: str, exec_id: str) -> Exit:
        """Delete an exec that has ended; say how. Raises NotFound, Unknown while it runs."""
        if not exec_id:
            raise InvalidArgument("exec id must not be empty")
        task = self.table.get(namespace, id)
        request = task_pb2.DeleteRequest(id=id, exec_id=exec_id)
        ended = exit_of(await task.shim.call("Delete", request, task_pb2.DeleteResponse), exec_id)
        task.forget_exec(exec_id, ended)
        return ended

    async def kill(self, namespace: str, id: str, exec_id: str, signal: int, *, all: bool) -> None:
        """Send a signal; ``all`` reaches every process of the container. Raises NotFound when it has ended."""
        message = task_pb2.KillRequest(id=id, exec_id=exec_id, signal=signal, all=all)
        await self._call(namespace, id, "Kill", message)
        if not exec_id:
            self._tell(namespace, happenings.container("kill", id, signal=str(signal)))

    async def pause(self, namespace: str, id: str) -> None:
        await self._call(namespace, id, "Pause", task_pb2.PauseRequest(id=id))

    async def resume(self, namespace: str, id: str) -> None:
        await self._call(namespace, id, "Resume", task_pb2.ResumeRequest(id=id))

    async def resize_pty(self, namespace: str, id: str, exec_id: str, width: int, height: int) -> None:
        message = task_pb2.ResizePtyRequest(id=id, exec_id=exec_id, width=width, height=height)
        await self._call(namespace, id, "ResizePty", message)

    async def close_io(self, namespace: str, id: str, exec_id: str, *, stdin: bool) -> None:
        await self._call(namespace, id, "CloseIO", task_pb2.CloseIORequest(id=id, exec_id=exec_id, stdin=stdin))

    async def update(self, namespace: str, id: str, resources: AnyValue | None, annotations: Mapping[str, str]) -> None:
        """Change the resources of a running container; ``resources`` is OCI LinuxResources as JSON."""
        message = task_pb2.UpdateTaskRequest(id=id, resources=any_message(resources), annotations=annotations)
        await self._call(namespace, id, "Update", message)

    async def _call(self, namespace: str, id: str, method: str, message: Message) -> None:
        await self.table.get(namespace, id).shim.call(method, message, empty_pb2.Empty)

    # Looking

    async def get(self, namespace: str, id: str, exec_id: str = "") -> Process:
        """A process as its shim sees it now: STOPPED as soon as the exit event is out. Raises NotFound."""
        return await self._state(self.table.get(namespace, id), exec_id)

    async def _state(self, task: Task, exec_id: str = "") -> Process:
        request = task_pb2.StateRequest(id=task.id, exec_id=exec_id)
        answer = await task.shim.call("State", request, task_pb2.StateResponse, limit=STATE_LIMIT)
        return process_of(task.id, exec_id, answer)

    async def list(self, namespace: str) -> Sequence[Process]:
        """The init processes of a namespace; one whose shim does not answer in time has status UNKNOWN."""
        tasks = self.table.of(namespace)
        answers = await asyncio.gather(*map(self._state, tasks), return_exceptions=True)
        found: list[Process] = []
        for task, answer in zip(tasks, answers, strict=True):
            if isinstance(answer, Process):
                found.append(answer)
            elif isinstance(answer, DeadlineExceeded | Unknown):
                found.append(Process(task.id, pid=task.pid, status=Status.UNKNOWN))
            elif not isinstance(answer, PycontainerdError):
                raise answer
        return found

    async def pids(self, namespace: str, id: str) -> Sequence[tuple[int, AnyValue | None]]:
        """The processes in a container, with what the shim knows of them."""
        task = self.table.get(namespace, id)
        answer = await task.shim.call("Pids", task_pb2.PidsRequest(id=id), task_pb2.PidsResponse)
        return [(info.pid, any_value(info.info)) for info in answer.processes]

    async def metrics(self, namespace: str, filters: Sequence[str]) -> Sequence[Metric]:
        """The resource use of tasks by ``id`` and ``namespace``; those without any are left out.

        Raises Unknown for a filter that does not parse.
        """
        wanted = filter_language.compile(filters, Unknown)
        tasks = [task for task in self.table.of(namespace) if wanted(_fields(task))]
        answers = await asyncio.gather(*map(self._stats, tasks), return_exceptions=True)
        return [answer for answer in answers if isinstance(answer, Metric)]

    async def _stats(self, task: Task) -> Metric:
        request = task_pb2.StatsRequest(id=task.id)
        answer = await task.shim.call("Stats", request, task_pb2.StatsResponse, limit=STATE_LIMIT)
        return Metric(task.id, now(), AnyValue(answer.stats.type_url, answer.stats.value))

    async def wait(self, namespace: str, id: str, exec_id: str = "") -> Exit:
        """How a process ended, as soon as it has: before its start, after its end, for any number of callers."""
        ended = await self.table.get(namespace, id).wait(exec_id)
        if not exec_id:
            self.watcher.ended(namespace, id, ended)
        return ended

    # Checkpoints and attachments

    async def checkpoint(
        self, namespace: str, id: str, parent: str, options: AnyValue | None, lease: str = ""
    ) -> Sequence[Descriptor]:
        """Have CRIU write the container's state; without an image path in the options it becomes content."""
        task = self.table.get(namespace, id)
        given = options_pb2.CheckpointOptions()
        if options is not None and options.name == _CHECKPOINT_OPTIONS:
            given.ParseFromString(options.value)
        if given.image_path:
            await self._checkpoint_to(task, given.image_path, options)
            return []
        container = await self.offload(self._containers.get, namespace, id)
        images = await self.offload(self._checkpoints.image_directory)
        try:
            await self._checkpoint_to(task, images, options)
            return await self.offload(self._checkpoints.store, task.bundle, images, container.spec, lease)
        finally:
            await self.offload(self._checkpoints.remove_directory, images)

    async def _checkpoint_to(self, task: Task, path: str, options: AnyValue | None) -> None:
        message = task_pb2.CheckpointTaskRequest(id=task.id, path=path, options=any_message(options))
        await task.shim.call("Checkpoint", message, empty_pb2.Empty)

    async def attach(self, namespace: str, id: str, exec_id: str, attachment: Attachment) -> str:
        """Join a live process's streams; return the attachment's id. Raises Unimplemented for other people's shims."""
        message = attach_pb2.AttachRequest(
            id=id,
            exec_id=exec_id,
            stdin=attachment.stdin,
            stdout=attachment.stdout,
            stderr=attachment.stderr,
            replay=attachment.replay,
            waited_for=attachment.waited_for,
        )
        shim = self.table.get(namespace, id).shim
        try:
            answer = await shim.call("Attach", message, attach_pb2.AttachResponse, service=ATTACH_SERVICE)
        except Unimplemented as error:
            raise Unimplemented("attach", id, "the container's shim does not offer it") from error
        if not exec_id:
            self._tell(namespace, happenings.container("attach", id))
        return str(answer.attachment)

    async def detach(self, namespace: str, id: str, exec_id: str, attachment_id: str) -> None:
        """Leave a live process's streams. Raises NotFound."""
        message = attach_pb2.DetachRequest(id=id, exec_id=exec_id, attachment=attachment_id)
        shim = self.table.get(namespace, id).shim
        await shim.call("Detach", message, empty_pb2.Empty, service=ATTACH_SERVICE)

    async def reopen_log(self, namespace: str, id: str, exec_id: str) -> None:
        """Have a log file opened by its name again, after it was renamed away.

        Raises NotFound, FailedPrecondition when the process has ended or logs to no file, Unimplemented for other
        people's shims.
        """
        message = attach_pb2.ReopenLogRequest(id=id, exec_id=exec_id)
        shim = self.table.get(namespace, id).shim
        try:
            await shim.call("ReopenLog", message, empty_pb2.Empty, service=ATTACH_SERVICE)
        except Unimplemented as error:
            raise Unimplemented("reopen log", id, "the container's shim does not offer it") from error


def _fields(task: Task) -> Callable[[Sequence[str]], tuple[str, bool]]:
    values = {"id": task.id, "namespace": task.namespace}
    return lambda path: (values.get(".".join(path), ""), ".".join(path) in values)
