"""Shims as the daemon sees them: started, connected to, shared by groups, lost and shut down. Event loop only.

A shim is one connection, whatever number of containers it holds. Built-in shims come from the template, others from
their own binaries; once connected there is no difference between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from google.protobuf import empty_pb2
from google.protobuf.message import Message

from pycontainerd.api.runtime.task.v3 import task_pb2
from pycontainerd.core.bundle import TASK_V2, TASK_V3, Bootstrap, group_of, socket_path
from pycontainerd.core.errors import NotFound, PycontainerdError, Unavailable, Unimplemented, Unknown
from pycontainerd.runtime import grpc_shim, ttrpc
from pycontainerd.runtime.bundle import save_bootstrap
from pycontainerd.runtime.logfifo import LogFifo
from pycontainerd.runtime.template import ShimRequest
from shim.sockets import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine, Mapping

    from pycontainerd.core.bundle import Bundle
    from pycontainerd.core.runtimes import ShimChoice
    from pycontainerd.core.values import AnyValue
    from pycontainerd.linux.sealed import Sealed
    from pycontainerd.runtime.foreign import Addresses, ForeignShims
    from pycontainerd.runtime.template import Template

M = TypeVar("M", bound=Message)
T = TypeVar("T")

SHUTDOWN_LIMIT = 3.0
"""Seconds a shim has to answer Shutdown (as peers have it)."""
CONNECT_LIMIT = 5.0
_GONE_LIMIT = 2.0
_FORKS = 3
_NAMED_ALWAYS = "crun"  # the create options name a runtime in every case; this keeps the template from probing


class Offload(Protocol):
    """Runs a synchronous function in a bounded thread pool and returns what it returns."""

    def __call__(self, fn: Callable[..., T], /, *args: object) -> Coroutine[Any, Any, T]: ...


class ShimGone(NotFound):
    """Raised when a call was made to a shim that has died: to clients its tasks do not exist any more."""


class Link(Protocol):
    """A connection to a shim, over ttrpc or gRPC."""

    on_lost: Callable[[], None] | None

    @property
    def closed(self) -> bool: ...

    async def call(
        self, service: str, method: str, request: Message, answer: type[M], *, limit: float | None = None
    ) -> M: ...

    def close(self) -> None: ...


class Shim:
    """A connected shim. ``holds`` are the ids of the containers it runs; ``binary`` is what cleans up after it."""

    def __init__(self, namespace: str, bootstrap: Bootstrap, binary: str, link: Link) -> None:
        self.namespace, self.bootstrap, self.binary = namespace, bootstrap, binary
        self.service = bootstrap.service
        self.holds: set[str] = set()
        self.closing = False
        self.gone = asyncio.Event()
        self._link = link

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.bootstrap.address

    @property
    def alive(self) -> bool:
        return not self._link.closed

    async def call(
        self, method: str, request: Message, answer: type[M], *, limit: float | None = None, service: str = ""
    ) -> M:
        """Call the task service, or another one. Raises what the shim answers, ShimGone, DeadlineExceeded."""
        try:
            return await self._link.call(service or self.service, method, request, answer, limit=limit)
        except ConnectionError as error:
            subject = getattr(request, "id", "") or self.bootstrap.address
            raise ShimGone("task", subject, "its shim has died") from error

    async def call_first(self, method: str, request: Message, answer: type[M], *, limit: float | None = None) -> M:
        """As ``call``, for Create and Connect: a shim that knows only the older task API is asked again in that."""
        try:
            return await self.call(method, request, answer, limit=limit)
        except Unimplemented:
            if self.service != TASK_V3 or self.bootstrap.protocol == "grpc":
                raise
            self.service = TASK_V2
            return await self.call(method, request, answer, limit=limit)

    def disconnect(self) -> None:
        """Close the connection; the shim lives on."""
        self._link.close()


@dataclass(frozen=True, slots=True)
class ShimSettings:
    """What all shims of a daemon have in common. ``socket_dir`` holds the built-in shims' sockets."""

    socket_dir: str
    addresses: Addresses
    builtin_binary: str
    runtime_root: str = ""
    oom_score_adj: int | None = None


class Shims:
    """All shims of a daemon."""

    def __init__(
        self,
        settings: ShimSettings,
        template: Template,
        foreign: ForeignShims,
        offload: Offload,
        traceparent: Callable[[], str] = ttrpc.no_traceparent,
    ) -> None:
        self.on_dead: Callable[[Shim], None] = lambda shim: None
        self.on_log: Callable[[str, str, str], None] = lambda namespace, container, line: None
        self._settings = settings
        self._template, self._foreign, self._offload, self._traceparent = template, foreign, offload, traceparent
        self._live: dict[tuple[str, str], Shim] = {}
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._serial = 0

    def __len__(self) -> int:
        return len(self._live)

    @property
    def builtin_binary(self) -> str:
        """The path by which bundles name the built-in shim."""
        return self._settings.builtin_binary

    def _lock(self, key: tuple[str, str]) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            self._locks[key] = lock = asyncio.Lock()
        return lock

    def address_for(self, bundle: Bundle, annotations: Mapping[str, object]) -> Bootstrap:
        """The address a built-in shim for this container listens on.

        A group's is the same for all its members. A shim of its own gets one that was never used before, so that the
        one of the same container's last life can take its time to go.
        """
        settings = self._settings
        group = group_of(annotations, bundle.id)
        if group == bundle.id:
            self._serial += 1
            group = f"{bundle.id}#{os.getpid()}.{self._serial}"
        path = socket_path(settings.socket_dir, settings.addresses.grpc, bundle.namespace, group)
        return Bootstrap(f"unix://{path}", 3)

    async def start_builtin(self, bundle: Bundle, bootstrap: Bootstrap, program: Sealed | None = None) -> Shim:
        """Have the template fork a shim for the bundle, or join the group's; it holds the bundle's id from here on.

        A new shim is handed ``program``, the OCI runtime it will most likely use.
        """
        async with self._lock((bundle.namespace, bootstrap.address)):
            shim = await self._shared(bundle, bootstrap)
            if shim is None:
                settings = self._settings
                request = ShimRequest(
                    namespace=bundle.namespace,
                    id=bundle.id,
                    bundle=bundle.path,
                    socket=bootstrap.path,
                    events=settings.addresses.ttrpc,
                    grpc_address=settings.addresses.grpc,
                    log_level=settings.addresses.log_level,
                    oom_score_adj=settings.oom_score_adj,
                    runtime=_NAMED_ALWAYS,
                    runtime_root=settings.runtime_root,
                    program="" if program is None else program.path,
                    program_identity="" if program is None else program.identity,
                )
                try:
                    shim = await self._fork(request, bootstrap, program)
                except PycontainerdError:
                    self.drop_socket(bootstrap)
                    raise
            shim.holds.add(bundle.id)
            return shim

    async def _fork(self, request: ShimRequest, bootstrap: Bootstrap, program: Sealed | None) -> Shim:
        """Fork and connect. A template that died over it leaves in doubt whether the shim lives: it is asked."""
        for _ in range(_FORKS):
            certain = await self._template.fork(request, None if program is None else program.fd)
            try:
                shim = await self._connect(request.namespace, bootstrap, self._settings.builtin_binary)
                if not certain:
                    await connect_task(shim, request.id)
            except (Unknown, ShimGone):
                if certain:
                    raise
                continue
            return shim
        raise Unavailable("shim", request.id, "the template keeps dying while it is started")

    async def start_foreign(self, bundle: Bundle, choice: ShimChoice, options: AnyValue | None) -> Shim:
        """Run a shim binary's ``start`` and connect to what it names; several containers may get the same shim."""
        path = await self._offload(self._foreign.resolve, choice.binary)
        bootstrap = await self._offload(self._start_foreign, bundle, path, options)
        return await self.join(bundle, bootstrap, path)

    def _start_foreign(self, bundle: Bundle, path: str, options: AnyValue | None) -> Bootstrap:
        bootstrap = self._foreign.start(bundle, path, options)
        save_bootstrap(bundle, bootstrap, path)
        return bootstrap

    async def join(self, bundle: Bundle, bootstrap: Bootstrap, binary: str) -> Shim:
        """Connect to a shim that runs already, or take the connection there is. Raises Unknown when nothing answers."""
        async with self._lock((bundle.namespace, bootstrap.address)):
            shim = await self._shared(bundle, bootstrap)
            if shim is None:
                shim = await self._connect(bundle.namespace, bootstrap, binary)
            shim.holds.add(bundle.id)
            return shim

    async def _shared(self, bundle: Bundle, bootstrap: Bootstrap) -> Shim | None:
        shim = self._live.get((bundle.namespace, bootstrap.address))
        if shim is None:
            return None
        if not shim.closing and shim.alive:
            return shim
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GONE_LIMIT):
                await shim.gone.wait()
        return None

    async def _connect(self, namespace: str, bootstrap: Bootstrap, binary: str) -> Shim:
        try:
            link: Link
            if bootstrap.protocol == "grpc":
                link = await grpc_shim.connect(bootstrap.path, namespace, traceparent=self._traceparent)
            else:
                path = bootstrap.path
                link = await ttrpc.connect(path, namespace, limit=CONNECT_LIMIT, traceparent=self._traceparent)
        except OSError as error:
            raise Unknown(f"cannot connect to the shim at {bootstrap.address}: {error}") from error
        shim = Shim(namespace, bootstrap, binary, link)
        self._live[shim.key] = shim
        link.on_lost = lambda: self._lost(shim)
        return shim

    def _lost(self, shim: Shim) -> None:
        shim.gone.set()
        if self._live.get(shim.key) is shim:
            del self._live[shim.key]
        if not shim.closing:
            self.on_dead(shim)

    async def release(self, shim: Shim, id: str, *, sandboxed: bool = False) -> None:
        """Let go of one container; with the last of them the shim is asked to end. Never raises.

        A sandbox's shim is its controller's to end, and is only disconnected from.
        """
        shim.holds.discard(id)
        if shim.holds or shim.closing:
            return
        shim.closing = True
        if sandboxed:
            self._give_up(shim)
            return
        with contextlib.suppress(PycontainerdError):
            request = task_pb2.ShutdownRequest(id=id)
            await shim.call("Shutdown", request, empty_pb2.Empty, limit=SHUTDOWN_LIMIT)
        self._leave(shim)

    def _leave(self, shim: Shim) -> None:
        """Let a shim that was told to end close the connection itself, so that it is known when it has gone."""
        asyncio.get_running_loop().call_later(_GONE_LIMIT, self._give_up, shim)

    def _give_up(self, shim: Shim) -> None:
        if not shim.gone.is_set():
            shim.disconnect()
            self._lost(shim)

    async def shut_down(self, shim: Shim, id: str) -> None:
        """End a shim that holds no container, whatever it thinks. Raises DeadlineExceeded when it does not answer."""
        shim.closing = True
        with contextlib.suppress(ShimGone):
            request = task_pb2.ShutdownRequest(id=id, now=True)
            await shim.call("Shutdown", request, empty_pb2.Empty, limit=SHUTDOWN_LIMIT)
        self._leave(shim)

    def open_log(self, bundle: Bundle) -> LogFifo | None:
        """Read what the bundle's shim writes to its log; None when there is no fifo to read."""
        try:
            return LogFifo(bundle.log, lambda line: self.on_log(bundle.namespace, bundle.id, line))
        except OSError:
            return None

    def drop_socket(self, bootstrap: Bootstrap) -> None:
        """Remove the socket a dead built-in shim has left."""
        path = bootstrap.path
        if path.startswith(f"{self._settings.socket_dir}/"):
            with contextlib.suppress(OSError):
                os.unlink(path)

    async def end_strays(self, known: Container[str]) -> int:
        """End the built-in shims that no bundle names, and remove the sockets of dead ones; return how many there were.

        A daemon that died between the removal of a bundle and Shutdown leaves such a shim. ``known`` are the paths of
        sockets that bundles name. A shim that has a container all the same refuses to end.
        """
        strays = [path for path in await self._offload(_sockets, self._settings.socket_dir) if path not in known]
        for path in strays:
            bootstrap = Bootstrap(f"unix://{path}", 3)
            if not await self._offload(answers, path):
                self.drop_socket(bootstrap)
                continue
            with contextlib.suppress(Unknown):
                await self.release(await self._connect("", bootstrap, self._settings.builtin_binary), "")
        return len(strays)

    def disconnect_all(self) -> None:
        """Close every connection and the template; the shims live on."""
        for shim in list(self._live.values()):
            shim.closing = True
            shim.disconnect()
        self._live.clear()
        self._template.close()


def _sockets(directory: str) -> list[str]:
    try:
        return [f"{directory}/{name}" for name in os.listdir(directory)]
    except FileNotFoundError:
        return []


async def connect_task(shim: Shim, id: str) -> task_pb2.ConnectResponse:
    """Ask a shim who it is and what the init pid of ``id`` is (0: it has no such container)."""
    request = task_pb2.ConnectRequest(id=id)
    return await shim.call_first("Connect", request, task_pb2.ConnectResponse, limit=CONNECT_LIMIT)
