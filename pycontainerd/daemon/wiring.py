"""The composition root: every object of the daemon, made by plain constructor calls from top to bottom.

What has to be closed is put on the exit stack as it is made, so that stopping is starting in reverse.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.core.platforms import from_machine
from pycontainerd.core.version import VERSION
from pycontainerd.daemon import hardening, installed, monitoring, sockets, telemetry
from pycontainerd.daemon.identity import identify
from pycontainerd.daemon.networking import Networking, build_network
from pycontainerd.daemon.plugins import plugins
from pycontainerd.daemon.supervising import go_on, supervise
from pycontainerd.images import pull as transferring
from pycontainerd.images.differ import WalkingDiffer
from pycontainerd.images.files import WorkerFiles
from pycontainerd.images.holding import forget_dead
from pycontainerd.images.labels import LabelScreen
from pycontainerd.images.transfers import LocalTransfers
from pycontainerd.images.trees import Trees
from pycontainerd.images.unpack import Unpacker
from pycontainerd.images.workers import Workers
from pycontainerd.network.records import NetworkedNames
from pycontainerd.rpc.dispatch import Dispatcher
from pycontainerd.rpc.grpc_server import GrpcServer
from pycontainerd.rpc.metrics import Registry
from pycontainerd.rpc.observe import CallObserver, timed_spans
from pycontainerd.rpc.offload import offload
from pycontainerd.rpc.service import methods
from pycontainerd.rpc.tracing import Tracer, TraceRing, traceparent
from pycontainerd.rpc.ttrpc_server import TtrpcServer
from pycontainerd.runtime.creation import TaskSettings
from pycontainerd.runtime.engine import Engine
from pycontainerd.runtime.supervisor_requests import Requests
from pycontainerd.services.archive import ArchiveService
from pycontainerd.services.attach import AttachService
from pycontainerd.services.containers import ContainersService
from pycontainerd.services.content import ContentService
from pycontainerd.services.diff import DiffService
from pycontainerd.services.events import EventsService, ShimEventsService
from pycontainerd.services.health import HealthService
from pycontainerd.services.history import HistoryService
from pycontainerd.services.images import ImagesService
from pycontainerd.services.introspection import IntrospectionService
from pycontainerd.services.leases import LeasesService
from pycontainerd.services.mounts import MountsService
from pycontainerd.services.names import NamesService
from pycontainerd.services.namespaces import NamespacesService
from pycontainerd.services.networks import NetworksService
from pycontainerd.services.reflection import reflection_services
from pycontainerd.services.snapshots import SnapshotsService
from pycontainerd.services.streaming import StreamingService, StreamRegistry
from pycontainerd.services.supervisor import SupervisorService
from pycontainerd.services.tasks import TasksService
from pycontainerd.services.traces import TracesService
from pycontainerd.services.transfer import TransferService
from pycontainerd.services.version import VersionService
from pycontainerd.services.volumes import VolumesService
from pycontainerd.stores.collector import Collector
from pycontainerd.stores.containers import Containers
from pycontainerd.stores.content import Content
from pycontainerd.stores.database import Database
from pycontainerd.stores.events import Exchange
from pycontainerd.stores.images import Images
from pycontainerd.stores.journal import Journal
from pycontainerd.stores.leases import Leases
from pycontainerd.stores.lock import RootLock, refuse_orphans
from pycontainerd.stores.mounts import Mounts
from pycontainerd.stores.names import Names
from pycontainerd.stores.namespaces import Namespaces
from pycontainerd.stores.runstates import RunStates
from pycontainerd.stores.schema import STEPS
from pycontainerd.stores.snapshots import Snapshots
from pycontainerd.stores.volumeclaims import ContainerVolumes
from pycontainerd.stores.volumedirs import VolumeDirectories
from pycontainerd.stores.volumemounts import VolumeMounts
from pycontainerd.stores.volumes import Volumes
from snapshotter.native import NativeDriver
from snapshotter.overlay import OverlayConfig, OverlayDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack

    from pycontainerd.core.events import Envelope
    from pycontainerd.core.snapshots import SnapshotDriver
    from pycontainerd.core.spans import Span
    from pycontainerd.daemon.config import Config
    from pycontainerd.rpc.service import Service
    from pycontainerd.services.supervisor import Supervision
    from pycontainerd.stores.collector import Store

log = structlog.get_logger(__name__)

ANNOUNCE_DELAY = 1.0
"""Seconds between opening the doors and telling of the exits that happened while no daemon was there."""
RECALL = 150.0
"""Seconds after opening the doors in which new subscribers hear again of the ends that nobody has acted on.

gRPC's clients try again after a second, then ever more slowly, in the end every two minutes and a bit.
"""
GRACE = 2.0
"""Seconds that running calls get when the daemon stops."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What looks at the daemon at work; ``span`` is what engines are given."""

    metrics: Registry
    ring: TraceRing
    tracer: Tracer
    span: Span


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is kept."""

    exchange: Exchange
    namespaces: Namespaces
    leases: Leases
    content: Content
    images: Images
    containers: Containers
    snapshotters: Mapping[str, Snapshots]
    broken: Mapping[str, str]
    mounts: Mounts
    workers: Workers
    volumes: Volumes
    container_volumes: ContainerVolumes
    names: Names
    run_states: RunStates
    journal: Journal
    collector: Collector
    network: Networking


async def build(config: Config, stack: AsyncExitStack) -> None:
    """Start everything; the daemon serves when this returns. Raises PycontainerdError when it cannot."""
    _claim(config, stack)
    sight = _sight(config, stack)
    stores = _stores(config, stack, sight)
    engine = _engine(config, stack, sight, stores)
    await engine.start()
    await offload(stores.volumes.mounts.sweep, lambda *key: engine.tasks.table.find(*key) is not None)
    supervisor = await supervise(f"{config.root}/containers", f"{config.state}/health", stores, engine)
    stack.push_async_callback(supervisor.close)
    spaces = [namespace.name for namespace in await offload(stores.namespaces.list)]
    await offload(forget_dead, stores.leases, stores.content, spaces)
    stores.collector.start()
    requests = Requests(supervisor, stores.network.containers, offload, stores.journal.tell)
    await hardening.confine()
    await _serve(config, stack, sight, _services(config, stack, sight, stores, engine, requests))
    # Subscribers get a moment to come back before they are told what they missed; those who need more are told then.
    asyncio.get_running_loop().call_later(ANNOUNCE_DELAY, go_on, engine, supervisor)
    asyncio.get_running_loop().call_later(RECALL, engine.settle)


def _claim(config: Config, stack: AsyncExitStack) -> None:
    """Directories (and where clients install is searched from now on), the lock on the root, and free sockets."""
    sockets.prepare_directory(config.root, 0o711)
    sockets.prepare_directory(config.state, 0o711)
    installed.prepare(config.root, os.environ)
    stack.callback(RootLock(config.root).close)
    for path in (config.socket, config.ttrpc):
        sockets.claim(path)


def _sight(config: Config, stack: AsyncExitStack) -> Sight:
    metrics = Registry()
    monitoring.register_process(metrics)
    stack.callback(asyncio.create_task(monitoring.watch_lag(metrics)).cancel)
    ring = TraceRing(config.tracing.ring)
    tracer = Tracer([ring.add])
    if telemetry.wanted(config.tracing, os.environ):
        exporter = telemetry.OtlpExporter(config.tracing)
        stack.callback(exporter.close)
        tracer = Tracer([ring.add, exporter], config.tracing.ratio)
    # Timing every engine step costs little, but is of use only where somebody can look at it.
    span = timed_spans(tracer.span, metrics) if config.metrics.address else tracer.span
    return Sight(metrics, ring, tracer, span)


def _stores(config: Config, stack: AsyncExitStack, sight: Sight) -> Stores:
    path = f"{config.root}/metadata.db"
    refuse_orphans(config.root, path)
    database = Database(path, STEPS)
    stack.callback(database.close)
    exchange = Exchange()
    publish = exchange.publish
    journal = Journal(f"{config.root}/events")
    stack.callback(journal.close)
    exchange.subscribe((), journal.append)
    isolated = config.content.sharing == "isolated"
    drivers, broken = _drivers(config)
    snapshotters = {driver.name: Snapshots(database, driver, publish, span=sight.span) for driver in drivers}
    for snapshots in snapshotters.values():
        stack.callback(snapshots.close)
    leases, images = Leases(database), Images(database, publish)
    containers = Containers(database, publish, journal.tell)
    content = Content(database, f"{config.root}/io.containerd.content.v1.content", publish, isolated=isolated)
    mounts = Mounts(database, f"{config.state}/io.containerd.mount-manager.v1.bolt", [config.root, config.state])
    names = Names(database, publish)
    kept: list[Store] = [leases, images, containers, content, *snapshotters.values(), mounts, names]
    collector = Collector(database, kept, config.gc, span=sight.span)
    stack.callback(collector.close)
    leases.collect = images.collect = collector.collect
    workers = Workers(f"{config.state}/unpack")
    stack.callback(workers.close)
    directories = VolumeDirectories(f"{config.root}/volumes")
    held = VolumeMounts(directories, f"{config.state}/volumes", snapshotters)
    volumes = Volumes(database, directories, held, Trees(workers), tell=journal.tell)
    container_volumes = ContainerVolumes(database, containers, volumes, Trees(workers), snapshotters)
    return Stores(
        exchange,
        Namespaces(database, publish),
        leases,
        content,
        images,
        containers,
        snapshotters,
        broken,
        mounts,
        workers,
        volumes,
        container_volumes,
        names,
        RunStates(database),
        journal,
        collector,
        build_network(config, stack, database, container_volumes, tell=journal.tell),
    )


def _drivers(config: Config) -> tuple[list[SnapshotDriver], dict[str, str]]:
    """The snapshot drivers that work on this host, and why the others do not."""
    makers: dict[str, Callable[[str], SnapshotDriver]] = {
        "overlayfs": lambda root: OverlayDriver(root, OverlayConfig(config.snapshots.overlay_options)),
        "native": NativeDriver,
    }
    drivers: list[SnapshotDriver] = []
    broken: dict[str, str] = {}
    for name, make in makers.items():
        try:
            drivers.append(make(f"{config.root}/io.containerd.snapshotter.v1.{name}"))
        except PycontainerdError as error:
            broken[name] = str(error)
            log.warning("snapshotter not available", snapshotter=name, reason=str(error))
    return drivers, broken


def _engine(config: Config, stack: AsyncExitStack, sight: Sight, stores: Stores) -> Engine:
    """Tasks and their shims: built-in ones from the template, others from their own binaries."""
    settings = TaskSettings(
        config.state,
        config.root,
        config.socket,
        config.ttrpc,
        config.runtimes,
        daemon_binary=f"{os.path.dirname(sys.executable)}/pycontainerd",
        log_level=config.log.level,
        version=VERSION,
    )
    engine = Engine(
        settings,
        stores.containers,
        offload,
        stores.exchange.publish,
        content=stores.content,
        mounts=stores.mounts,
        volumes=stores.container_volumes,
        network=stores.network.sandboxes,
        tell=stores.journal.tell,
        traceparent=traceparent,
        span=sight.span,
    )
    stack.callback(engine.close)
    sight.metrics.gauge("pycontainerd_tasks", "Tasks known.", lambda: len(engine.tasks.table))
    sight.metrics.gauge("pycontainerd_shims", "Shims connected.", lambda: len(engine.shims))
    return engine


def _services(
    config: Config, stack: AsyncExitStack, sight: Sight, stores: Stores, engine: Engine, supervision: Supervision
) -> list[Service]:
    tasks = engine.tasks
    streams = StreamRegistry()
    differ = WalkingDiffer(stores.content, stores.workers, span=sight.span)

    def forward(envelope: Envelope) -> None:
        tasks.relay(envelope, stores.exchange.forward)

    transfers = _transfers(config, stores, differ, sight)
    drivers = [snapshots.driver for snapshots in stores.snapshotters.values()]
    listed = plugins(config, {driver.name: (driver.root, driver.capabilities) for driver in drivers}, stores.broken)
    services: list[Service] = [
        VersionService(VERSION),
        IntrospectionService(identify(config.root), listed, engine.describe),
        NamespacesService(stores.namespaces),
        LeasesService(stores.leases),
        ContentService(stores.content),
        ImagesService(stores.images),
        SnapshotsService(stores.snapshotters),
        DiffService(differ),
        TransferService(transfers, streams),
        ContainersService(stores.network.containers, LabelScreen(stores.images, stores.content)),
        MountsService(stores.mounts),
        TasksService(tasks),
        AttachService(tasks),
        EventsService(stores.exchange, forward, missed=engine.recall),
        ShimEventsService(forward),
        StreamingService(streams),
        TracesService(sight.tracer, sight.ring),
        VolumesService(stores.volumes),
        ArchiveService(
            WorkerFiles(stores.workers), stores.containers, tasks, stores.snapshotters, volumes=stores.volumes
        ),
        NetworksService(stores.network.networks),
        NamesService(NetworkedNames(stores.names, stores.network.sandboxes), stores.network.containers),
        SupervisorService(supervision),
        HistoryService(stores.journal),
        HealthService(),
    ]
    return [*services, *reflection_services([item.SERVICE.full_name for item in services if _over_grpc(item)])]


def _over_grpc(service: Service) -> bool:
    """All but the events of shims are for both sockets."""
    return not isinstance(service, ShimEventsService)


def _transfers(config: Config, stores: Stores, differ: WalkingDiffer, sight: Sight) -> LocalTransfers:
    """The engine that pulls, imports and exports images."""
    snapshotters = stores.snapshotters
    rebasing = [name for name, snapshots in snapshotters.items() if "rebase" in snapshots.driver.capabilities]
    unpacker = Unpacker(stores.content, snapshotters, stores.leases, differ, rebasing=rebasing, span=sight.span)
    platform = from_machine(os.uname().machine)
    defaults = transferring.Defaults(
        platform, config.snapshots.default, config.images.downloads, config.images.registry_dir
    )
    places = transferring.Stores(stores.content, stores.images, stores.leases)
    return LocalTransfers(places, unpacker, defaults, span=sight.span)


async def _serve(config: Config, stack: AsyncExitStack, sight: Sight, services: list[Service]) -> None:
    """Open the doors: first to shims, then to clients, last to the scraper."""
    dispatcher = Dispatcher(CallObserver(sight.tracer, sight.metrics))
    ttrpc_server = TtrpcServer(methods(services), dispatcher)
    await ttrpc_server.start(config.ttrpc, config.group)
    stack.callback(sockets.release, config.ttrpc)
    stack.push_async_callback(ttrpc_server.stop, GRACE)
    grpc_server = GrpcServer(methods(filter(_over_grpc, services)), dispatcher)
    await grpc_server.start(config.socket, config.group)
    stack.callback(sockets.release, config.socket)
    stack.push_async_callback(grpc_server.stop, GRACE)
    if config.metrics.address:
        scraped = monitoring.MetricsServer(sight.metrics)
        await scraped.start(config.metrics.address)
        stack.push_async_callback(scraped.stop)
