"""The life of the daemon process: start, signals, reload, stop.

SIGTERM and SIGINT stop serving and leave containers running; SIGHUP reads the configuration again (the log level is
what can change without a restart). Stopping is bounded: whatever still runs after the grace is given up, which is safe
because a daemon may die at any instant anyway.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from pycontainerd.core.errors import PycontainerdError
from pycontainerd.core.version import VERSION
from pycontainerd.daemon import logs, notify
from pycontainerd.daemon.wiring import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainerd.daemon.config import Config

log = structlog.get_logger(__name__)

_COLLECT = (20_000, 20, 20)
"""When garbage is collected (gc.set_threshold): calls make thousands of objects each, nearly none of them in cycles."""
STOP_LIMIT = 20.0
"""Seconds after which a stop that hangs is cut short."""


def serve(config: Config, reread: Callable[[], Config]) -> int:
    """Run until told to stop; returns the exit status. Raises PycontainerdError when the daemon cannot start."""
    logs.configure(config.log)
    os.umask(0o022)
    if config.oom_score is not None:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(config.oom_score))
    asyncio.run(_run(config, reread))
    log.info("stopped")
    # Pool threads that still wait for a client or a registry would hold up an orderly interpreter exit.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


async def _run(config: Config, reread: Callable[[], Config]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        await build(config, stack)
        loop.add_signal_handler(signal.SIGHUP, _reload, reread)
        log.info("serving", version=VERSION, address=config.socket, root=config.root, pid=os.getpid())
        notify.ready(f"Serving on {config.socket}")
        # Modules and engines live as long as the daemon: no collection needs to look at their 100,000 objects again.
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        await stop.wait()
        loop.remove_signal_handler(signal.SIGHUP)
        notify.stopping()
        log.info("stopping; containers keep running")
        watchdog = threading.Timer(STOP_LIMIT, _give_up)
        watchdog.daemon = True
        watchdog.start()


def _reload(reread: Callable[[], Config]) -> None:
    notify.reloading()
    try:
        config = reread()
    except PycontainerdError as error:
        log.error("the configuration could not be read again; the old one stays", reason=str(error))  # noqa: TRY400
    else:
        logs.configure(config.log)
        log.info("configuration read again", level=config.log.level)
    notify.ready("Serving")


def _give_up() -> None:
    log.warning("stopping took too long; what still runs is given up", seconds=STOP_LIMIT)
    os._exit(0)
