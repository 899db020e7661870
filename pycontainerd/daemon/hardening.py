"""What the daemon gives the host so that containers are confined there: the AppArmor profile of the default spec."""

from __future__ import annotations

import asyncio

import structlog

from pycontainerd.core import apparmor as profiles
from pycontainerd.linux import apparmor
from pycontainerd.rpc.offload import offload

log = structlog.get_logger(__name__)
_background: set[asyncio.Task[None]] = set()


async def confine() -> None:
    """Have the profile loaded when this returns, where the kernel has AppArmor.

    One that an earlier daemon loaded is replaced behind the caller's back: compiling a profile takes its time.
    """
    if not apparmor.enabled():
        return
    loading = asyncio.get_running_loop().create_task(offload(_load))
    if profiles.NAME in apparmor.loaded():
        _background.add(loading)
        loading.add_done_callback(_background.discard)
    else:
        await loading


def _load() -> None:
    try:
        apparmor.load(profiles.profile())
    except OSError as error:
        log.warning("containers run without an AppArmor profile", program=error.filename, reason=error.strerror)
