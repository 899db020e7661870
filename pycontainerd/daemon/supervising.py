"""The part of the composition root that sees to containers without clients: the supervisor and what it stands on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycontainerd.rpc.offload import offload
from pycontainerd.runtime import containerfiles
from pycontainerd.runtime.supervisor import TOPICS, Supervisor
from pycontainerd.runtime.supervisor_book import Book
from pycontainerd.runtime.supervisor_health import Prober
from pycontainerd.runtime.supervisor_recovery import load, recover, resume
from pycontainerd.runtime.supervisor_start import Starter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycontainerd.core.containers import Container
    from pycontainerd.core.events import Envelope
    from pycontainerd.core.supervision import RunState
    from pycontainerd.daemon.wiring import Stores
    from pycontainerd.runtime.engine import Engine


async def supervise(files: str, fifos: str, stores: Stores, engine: Engine) -> Supervisor:
    """The supervisor, knowing how containers are; it starts nothing before ``go_on``.

    ``files`` is the directory of containers' own files, ``fifos`` one for the output of health checks.
    """
    tasks, containers = engine.tasks, stores.network.containers
    starter = Starter(tasks, containers, stores.snapshotters, offload, files=files, resolve=stores.names.resolve)
    prober = Prober(tasks, containers, offload, fifos)
    supervisor = Supervisor(Book(stores.run_states, offload), tasks, starter, prober, stores.exchange.publish)
    stores.containers.watcher = tasks.watcher = supervisor
    loop = asyncio.get_running_loop()

    def on_event(envelope: Envelope) -> None:
        loop.call_soon_threadsafe(supervisor.event, envelope)

    stores.exchange.subscribe([f'topic=="{topic}"' for topic in TOPICS], on_event)
    found, states = await offload(_kept, stores)
    load(supervisor, found, states)
    await offload(containerfiles.sweep, files, {name: {each.id for each in some} for name, some in found.items()})
    await recover(supervisor, engine.ends())
    return supervisor


def go_on(engine: Engine, supervisor: Supervisor) -> None:
    """Tell of what was missed, and after that, in the order of events, see to it."""
    engine.announce()
    asyncio.get_running_loop().call_soon(resume, supervisor)


def _kept(stores: Stores) -> tuple[Mapping[str, Sequence[Container]], Mapping[tuple[str, str], RunState]]:
    """All containers by namespace, and what is known of how they are."""
    found = {namespace.name: stores.containers.list(namespace.name) for namespace in stores.namespaces.list()}
    return found, stores.run_states.load()
