"""The composition root: every object of the daemon, made by plain constructor calls from top to bottom.

What has to be closed is put on the exit stack as it is made, so that stopping is starting in reverse.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from pycontainerd.core.version import VERSION
from pycontainerd.daemon import monitoring, sockets, telemetry
from pycontainerd.rpc.dispatch import Dispatcher
from pycontainerd.rpc.grpc_server import GrpcServer
from pycontainerd.rpc.metrics import Registry
from pycontainerd.rpc.observe import CallObserver
from pycontainerd.rpc.service import methods
from pycontainerd.rpc.tracing import Tracer, TraceRing
from pycontainerd.rpc.ttrpc_server import TtrpcServer
from pycontainerd.services.health import HealthService
from pycontainerd.services.leases import LeasesService
from pycontainerd.services.namespaces import NamespacesService
from pycontainerd.services.reflection import reflection_services
from pycontainerd.services.streaming import StreamingService, StreamRegistry
from pycontainerd.services.traces import TracesService
from pycontainerd.services.version import VersionService
from pycontainerd.stores.database import Database
from pycontainerd.stores.leases import Leases
from pycontainerd.stores.lock import RootLock
from pycontainerd.stores.namespaces import Namespaces
from pycontainerd.stores.schema import STEPS

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from pycontainerd.daemon.config import Config
    from pycontainerd.rpc.service import Service

GRACE = 2.0
"""Seconds that running calls get when the daemon stops."""


async def build(config: Config, stack: AsyncExitStack) -> None:
    """Start everything; the daemon serves when this returns. Raises PycontainerdError when it cannot."""
    loop_cleanup = stack.push_async_callback
    sockets.prepare_directory(config.root, 0o711)
    sockets.prepare_directory(config.state, 0o711)
    stack.callback(RootLock(config.root).close)
    ttrpc_socket = f"{config.socket}.ttrpc"
    for path in (config.socket, ttrpc_socket):
        sockets.claim(path)

    # Seeing inside.
    metrics = Registry()
    monitoring.register_process(metrics)
    ring = TraceRing(config.tracing.ring)
    tracer = Tracer([ring.add])
    if telemetry.wanted(config.tracing, os.environ):
        exporter = telemetry.OtlpExporter(config.tracing)
        stack.callback(exporter.close)
        tracer = Tracer([ring.add, exporter], config.tracing.ratio)
    lag = asyncio.create_task(monitoring.watch_lag(metrics))
    stack.callback(lag.cancel)

    # Stores.
    database = Database(f"{config.root}/metadata.db", STEPS)
    stack.callback(database.close)
    namespaces = Namespaces(database)
    leases = Leases(database)

    # Services.
    streams = StreamRegistry()
    services: list[Service] = [
        VersionService(VERSION),
        NamespacesService(namespaces),
        LeasesService(leases),
        StreamingService(streams),
        TracesService(tracer, ring),
        HealthService(),
    ]
    services += reflection_services([service.SERVICE.full_name for service in services])

    # Transports.
    dispatcher = Dispatcher(CallObserver(tracer, metrics))
    grpc_server = GrpcServer(methods(services), dispatcher)
    ttrpc_server = TtrpcServer(methods([*services]), dispatcher)
    await ttrpc_server.start(ttrpc_socket, config.group)
    stack.callback(sockets.release, ttrpc_socket)
    loop_cleanup(ttrpc_server.stop, GRACE)
    await grpc_server.start(config.socket, config.group)
    stack.callback(sockets.release, config.socket)
    loop_cleanup(grpc_server.stop, GRACE)
