"""The runtime engine put together: what the daemon makes, starts, and closes."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import DecodeError

from pycontainerd.api.types.introspection_pb2 import RuntimeInfo
from pycontainerd.core.errors import Unavailable, Unknown
from pycontainerd.core.happenings import untold
from pycontainerd.core.runtimes import choose_shim
from pycontainerd.core.spans import no_span
from pycontainerd.runtime.checkpoints import Checkpoints
from pycontainerd.runtime.creation import Preparer
from pycontainerd.runtime.exits import INIT
from pycontainerd.runtime.foreign import Addresses, ForeignShims
from pycontainerd.runtime.probe import RuntimeProbe
from pycontainerd.runtime.recovery import Recovery
from pycontainerd.runtime.seccomp import SeccompCache
from pycontainerd.runtime.shims import Shims, ShimSettings
from pycontainerd.runtime.table import Table
from pycontainerd.runtime.tasks import Tasks
from pycontainerd.runtime.template import Template
from pycontainerd.runtime.ttrpc import no_traceparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainerd.core.bundle import Bootstrap
    from pycontainerd.core.containers import ContainerStore
    from pycontainerd.core.content import ContentStore
    from pycontainerd.core.events import Envelope, Publish
    from pycontainerd.core.happenings import Tell
    from pycontainerd.core.mounts import MountManager
    from pycontainerd.core.network import SandboxEngine
    from pycontainerd.core.spans import Span
    from pycontainerd.core.tasks import Exit
    from pycontainerd.core.values import AnyValue
    from pycontainerd.core.volumes import ContainerMounts
    from pycontainerd.runtime.creation import TaskSettings
    from pycontainerd.runtime.recovery import Recovered
    from pycontainerd.runtime.shims import Offload
    from pycontainerd.runtime.table import Task

BUILTIN_SHIM = os.path.join(os.path.dirname(sys.executable), "containerd-shim-pycontainerd-v1")
"""The path by which bundles name the built-in shim; it is there when the package is installed."""
_GRAVE = re.compile(r"\blevel=(warn|error|fatal|panic)|^(panic|fatal error|Traceback)")
_log = structlog.get_logger("runtime")


class Engine:
    """Tasks and all they stand on. ``start`` before requests are served, ``announce`` some seconds after."""

    def __init__(
        self,
        settings: TaskSettings,
        containers: ContainerStore,
        offload: Offload,
        publish: Publish,
        *,
        content: ContentStore | None = None,
        mounts: MountManager | None = None,
        volumes: ContainerMounts | None = None,
        network: SandboxEngine | None = None,
        sandbox: Callable[[str, str], Bootstrap | None] | None = None,
        traceparent: Callable[[], str] = no_traceparent,
        tell: Tell = untold,
        span: Span = no_span,
    ) -> None:
        """``sandbox(namespace, id)`` answers how to reach a known sandbox's shim, or None; ``traceparent()`` gives the
        W3C header for calls made now, or "".
        """
        addresses = Addresses(
            settings.grpc_address,
            settings.ttrpc_address,
            settings.daemon_binary,
            settings.log_level,
            settings.socket_dir,
            settings.version,
        )
        self.settings = settings
        self.template = Template(lambda status: _log.error("shim template died", status=status))
        self.foreign = ForeignShims(addresses, BUILTIN_SHIM)
        shim_settings = ShimSettings(
            settings.socket_dir, addresses, BUILTIN_SHIM, settings.runtime_root, _shim_oom_score()
        )
        self.shims = Shims(shim_settings, self.template, self.foreign, offload, traceparent)
        self.shims.on_log = _log_shim_line
        checkpoints = Checkpoints(content, f"{settings.root}/checkpoints")
        self.probe = RuntimeProbe(settings.state)
        preparer = Preparer(
            settings,
            containers,
            self.foreign,
            self.shims,
            builtin_binary=BUILTIN_SHIM,
            probe=self.probe,
            seccomp=SeccompCache(f"{settings.root}/seccomp"),
            checkpoints=checkpoints,
            mounts=mounts,
            volumes=volumes,
            network=network,
            sandbox=sandbox,
        )
        self.tasks = Tasks(
            Table(),
            self.shims,
            preparer,
            foreign=self.foreign,
            containers=containers,
            checkpoints=checkpoints,
            offload=offload,
            publish=publish,
            tell=tell,
            span=span,
        )
        self._offload, self._network = offload, network
        self._recovery = Recovery(self.tasks, settings, containers)

    async def start(self) -> Recovered:
        """Warm the template up and take over what runs. Never fails for a bad bundle or a template that will not run:
        containers that need it then say so.
        """
        await self._offload(os.makedirs, self.settings.socket_dir, 0o700, True)
        try:
            await self.template.start()
        except Unavailable as error:
            _log.error("no shim template", error=str(error))
        if not self.settings.default_binary:
            self.tasks.spawn(self._offload(self.probe.works, "crun", "1.0"))  # asked before the first container waits
        recovered = await self._recovery.run()
        await self._recover_network()
        if recovered.adopted or recovered.buried or recovered.leaked or recovered.failed:
            _log.info(
                "tasks recovered",
                adopted=recovered.adopted,
                buried=recovered.buried,
                leaked=recovered.leaked,
                failed=recovered.failed,
            )
        return recovered

    async def _recover_network(self) -> None:
        """Give the network what lives, and tell it from now on of what ends."""
        if self._network is None:
            return
        loop, tasks = asyncio.get_running_loop(), self.tasks
        running = [task.key for task in tasks.table if (INIT, task.pid) not in task.published]
        await self._offload(self._network.recover, running)

        def exited(task: Task) -> None:
            loop.call_soon_threadsafe(lambda: tasks.spawn(self._release(task)))

        tasks.publishing.on_exit = exited

    async def _release(self, task: Task) -> None:
        """Free the ports of a task that has ended; one that is deleted, and perhaps made again, has none any more."""
        async with task.lock:
            if self._network is not None and self.tasks.table.holds(task):
                await self._offload(self._network.released, task.namespace, task.id)

    def ends(self) -> dict[tuple[str, str], Exit]:
        """How the tasks ended whose shims ``start`` found gone; to be asked before ``announce``."""
        return self._recovery.ends()

    def announce(self) -> int:
        """Publish the exits that happened while no daemon ran; return the number of events."""
        return self._recovery.announce()

    def recall(self) -> list[Envelope]:
        """The ends of tasks that a subscriber who comes now has missed, see ``Publishing.recall``."""
        return self.tasks.publishing.recall()

    def settle(self) -> None:
        """Stop keeping what ``recall`` answers; to be called some seconds after ``announce``."""
        self.tasks.publishing.settle()

    async def describe(self, runtime: str, options: AnyValue | None) -> RuntimeInfo:
        """What the shim of a runtime name or path says of itself. Raises Unknown."""
        choice = choose_shim(runtime, "", self.settings.runtimes)
        data = await self._offload(self.foreign.info, choice.binary or BUILTIN_SHIM, options)
        try:
            return RuntimeInfo.FromString(data)
        except DecodeError as error:
            raise Unknown(f"the shim of {runtime or 'the default runtime'} gives no readable information") from error

    def close(self) -> None:
        """Let go of shims and template; containers run on."""
        self.tasks.close()


def _shim_oom_score() -> int | None:
    """One more than the daemon's own: under pressure a shim goes first, as with peers."""
    try:
        with open("/proc/self/oom_score_adj", "rb") as file:
            return min(int(file.read()) + 1, 1000)
    except (OSError, ValueError):
        return None


def _log_shim_line(namespace: str, container: str, line: str) -> None:
    """Shims say their level in the line (``level=warning``); what is no warning is only for those who look closely."""
    say = _log.warning if _GRAVE.search(line) else _log.debug
    say("shim", namespace=namespace, container=container, line=line)
