"""pycontainerd.archive.v1: files of containers, in and out (our own; containerd leaves it to its clients)."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.archive.v1 import archive_pb2 as pb
from pycontainerd.core.archive import ChangeKind, View, binds_of, binds_of_entries, mount_points
from pycontainerd.core.errors import FailedPrecondition, InvalidArgument, NotFound
from pycontainerd.core.mountentries import EXTENSION as MOUNTS
from pycontainerd.core.tasks import Status
from pycontainerd.rpc.offload import offload, offload_long
from pycontainerd.rpc.service import Service
from pycontainerd.services.pipes import Pipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from pycontainerd.core.archive import ContainerFiles
    from pycontainerd.core.containers import Container, ContainerStore
    from pycontainerd.core.snapshots import Snapshotter
    from pycontainerd.core.tasks import TaskManager
    from pycontainerd.core.values import Mount
    from pycontainerd.core.volumes import VolumeStore
    from pycontainerd.rpc.call import Call

_BATCH = 1000
_KINDS = {
    ChangeKind.MODIFIED: pb.Change.MODIFIED,
    ChangeKind.ADDED: pb.Change.ADDED,
    ChangeKind.DELETED: pb.Change.DELETED,
}
_LIVE = {Status.RUNNING, Status.PAUSED, Status.PAUSING}


class ArchiveService(Service):
    """The Archive service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Archive"]

    def __init__(
        self,
        files: ContainerFiles,
        containers: ContainerStore,
        tasks: TaskManager,
        snapshotters: Mapping[str, Snapshotter],
        *,
        volumes: VolumeStore,
    ) -> None:
        self._files, self._containers, self._tasks = files, containers, tasks
        self._snapshotters, self._volumes = snapshotters, volumes

    async def Stat(self, request: pb.StatRequest, call: Call) -> pb.StatResponse:
        """Look at one path."""
        view = await self._view(call.namespace, request.container)
        with view as seen:
            found = await offload(self._files.stat, seen, _path(request.path), follow=request.follow)
        return pb.StatResponse(mode=found.mode, size=found.size, mtime=found.mtime, link=found.link)

    async def Get(self, request: pb.GetRequest, call: Call) -> AsyncIterator[pb.GetResponse]:
        """A file or directory as a tar."""
        view = await self._view(call.namespace, request.container)
        with view as seen:
            path, follow = _path(request.path), request.follow
            async for data in _packed(lambda out: self._files.pack(seen, path, out, follow=follow)):
                yield pb.GetResponse(data=data)

    async def Put(self, requests: AsyncIterator[pb.PutRequest], call: Call) -> Empty:
        """Unpack what the client sends; a cut stream is an archive that ends too early."""
        first = await anext(aiter(requests), None)
        if first is None:
            raise InvalidArgument("the stream ended before its first message")
        container = await offload(self._containers.get, call.namespace, first.container)
        if _readonly(container):
            raise FailedPrecondition("container rootfs is marked read-only")
        view = await self._view(call.namespace, first.container)
        with view as seen, Pipe.writer() as pipe:

            def unpack() -> None:
                try:
                    self._files.unpack(seen, _path(first.path), pipe.far)
                finally:
                    pipe.close_far()

            work = asyncio.create_task(offload_long(unpack))
            try:
                with suppress(BrokenPipeError):  # the unpacker gave up, and says why
                    await pipe.write(first.data)
                    async for request in requests:
                        await pipe.write(request.data)
                pipe.close_near()
                await work
            finally:
                pipe.close_near()
                await _ended(work)
        return Empty()

    async def Export(self, request: pb.ExportRequest, call: Call) -> AsyncIterator[pb.ExportResponse]:
        """The root filesystem as a tar."""
        _, mounts = await offload(self._mounts, call.namespace, request.container)
        async for data in _packed(lambda out: self._files.pack(View(mounts=mounts), b"/", out)):
            yield pb.ExportResponse(data=data)

    async def Changes(self, request: pb.ChangesRequest, call: Call) -> AsyncIterator[pb.ChangesResponse]:
        """What became of the root filesystem."""
        found = await offload_long(self._changes, call.namespace, request.container)
        for start in range(0, len(found), _BATCH):
            batch = found[start : start + _BATCH]
            yield pb.ChangesResponse(changes=[pb.Change(path=path, kind=kind) for path, kind in batch])

    # -- where files are --

    async def _view(self, namespace: str, id: str) -> AbstractContextManager[View]:
        """How to see the container's files now, for the length of a block. Raises NotFound."""
        container, mounts = await offload(self._mounts, namespace, id)
        pid = await self._pid(namespace, id)
        if not pid:
            return _stopped(await offload(self._mounted, namespace, container, mounts))
        root = _open_root(pid)
        if root < 0 or await self._pid(namespace, id) != pid:  # it ended, and the number may be another's by now
            if root >= 0:
                os.close(root)
            return _stopped(await offload(self._mounted, namespace, container, mounts))
        return _running(root)

    def _mounted(self, namespace: str, container: Container, mounts: tuple[Mount, ...]) -> View:
        """What a container that does not run would see."""

        def mountpoint(name: str) -> str:
            try:
                return self._volumes.get(namespace, name).volume.mountpoint
            except NotFound:
                return ""

        extension = container.extensions.get(MOUNTS)
        entries = json.loads(extension.value) if extension is not None else []
        return View(mounts=mounts, binds=(*binds_of(_spec(container)), *binds_of_entries(entries, mountpoint)))

    async def _pid(self, namespace: str, id: str) -> int:
        try:
            process = await self._tasks.get(namespace, id)
        except NotFound:
            return 0
        return process.pid if process.status in _LIVE else 0

    def _mounts(self, namespace: str, id: str) -> tuple[Container, tuple[Mount, ...]]:
        container = self._containers.get(namespace, id)
        snapshotter = self._snapshotters.get(container.snapshotter)
        if snapshotter is None or not container.snapshot_key:
            raise FailedPrecondition("container", id, "it has no snapshot of ours, so its files cannot be reached")
        return container, tuple(snapshotter.mounts(namespace, container.snapshot_key))

    def _changes(self, namespace: str, id: str) -> list[tuple[bytes, pb.Change.Kind]]:
        container, upper = self._mounts(namespace, id)
        snapshotter = self._snapshotters[container.snapshotter]
        parent = snapshotter.stat(namespace, container.snapshot_key).parent
        key = f"changes-{os.urandom(8).hex()}"
        lower = snapshotter.view(namespace, key, parent)
        try:
            hidden = mount_points(_spec(container))
            return [(path, _KINDS[kind]) for path, kind in self._files.changes(lower, upper, hidden)]
        finally:
            snapshotter.remove(namespace, key)


async def _packed(pack: Callable[[int], None]) -> AsyncIterator[bytes]:
    """What ``pack`` writes into the descriptor it is given, as it comes."""
    with Pipe.reader() as pipe:

        def run() -> None:
            try:
                pack(pipe.far)
            finally:
                pipe.close_far()

        work = asyncio.create_task(offload_long(run))
        try:
            while data := await pipe.read():
                yield data
            await work
        finally:
            pipe.close_near()  # whoever still packs sees that nobody reads
            await _ended(work)


async def _ended(work: asyncio.Task[None]) -> None:
    """Wait for the thread: it must not work on descriptors that are closed and given out anew."""
    await asyncio.wait([work])
    if not work.cancelled():
        work.exception()


@contextmanager
def _stopped(view: View) -> Iterator[View]:
    yield view


@contextmanager
def _running(root: int) -> Iterator[View]:
    try:
        yield View(root=f"/proc/{os.getpid()}/fd/{root}")
    finally:
        os.close(root)


def _open_root(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1


def _path(path: bytes) -> bytes:
    if b"\0" in path or len(path) > 4096:
        raise InvalidArgument("path", path[:40], "it holds a NUL byte or is longer than 4096 bytes")
    return b"/" + path.lstrip(b"/")


def _spec(container: Container) -> dict[str, object]:
    try:
        spec = json.loads(container.spec.value) if container.spec is not None else {}
    except ValueError:
        return {}
    return spec if isinstance(spec, dict) else {}


def _readonly(container: Container) -> bool:
    root = _spec(container).get("root")
    return isinstance(root, dict) and bool(root.get("readonly"))
