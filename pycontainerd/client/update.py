"""Changing the limits of a container: in its settings, in its spec for the next start, and at once where it runs."""

from __future__ import annotations

from pycontainerd.client import containers, host, jsontext, tasks
from pycontainerd.client.state import LIVE
from pycontainerd.core import spec, spec_resources
from pycontainerd.core.errors import Conflict, FailedPrecondition
from pycontainerd.wire.messages import tasks as messages
from pycontainerd.wire.messages.google import Any as AnyMessage
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon
    from pycontainerd.wire.messages.types_task import Process

    Json = dict[str, Any]

PID_MAX_LIMIT = 4 << 20
"""``include/linux/threads.h``, 64 bits."""
TYPE_URL = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"


def limits(daemon: Daemon, container: Container, changes: Json, process: Process | None) -> None:
    """Apply changed fields of HostConfig. Raises InvalidArgument for limits that make no sense together, Conflict when
    memory would exceed the swap limit that stays."""
    if not container.ours:
        raise FailedPrecondition("container", container.id, "it was not made by pyctr, so its limits are not ours")
    after = {**container.host_config, **changes}
    if "NanoCpus" in changes:
        after.update(CpuPeriod=0, CpuQuota=0)
    elif {"CpuPeriod", "CpuQuota"} & changes.keys():
        after["NanoCpus"] = 0
    _check_swap(container.host_config, changes)
    facts = host.look()
    wanted = spec_resources.resources(after, cpus=facts.cpus, swap_accounting=facts.swap_accounting)
    document = container.spec
    linux = document.setdefault("linux", {})
    kept = {key: value for key, value in (linux.get("resources") or {}).items() if key in ("devices", "unified")}
    if process is not None and process.status in LIVE:
        if "PidsLimit" in changes:
            wanted = {**wanted, **_pids(changes["PidsLimit"])}
        request = messages.UpdateTaskRequest(
            container_id=container.id,
            resources=AnyMessage(type_url=TYPE_URL, value=jsontext.dumps(_live(wanted)).encode()),
        )
        daemon.call(tasks.SERVICE, "Update", request, Empty)
    linux["resources"] = {**kept, **_with_devices(wanted, linux.get("resources") or {})}
    container.settings["HostConfig"] = after
    container.record.spec = AnyMessage(type_url=spec.TYPE_URL, value=jsontext.dumps(document).encode())
    containers.save(daemon, container, "spec")


def _check_swap(before: Json, changes: Json) -> None:
    memory, swap = changes.get("Memory") or 0, before.get("MemorySwap") or 2 * (before.get("Memory") or 0)
    if memory and "MemorySwap" not in changes and 0 < swap < memory:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit",
            hint="update the memoryswap at the same time: --memory-swap",
        )


def _with_devices(wanted: Json, before: Json) -> Json:
    """The limits for single block devices stay: they cannot be updated, and a device may be gone by now."""
    names = [name for _, name, _ in spec_resources.BLOCK_DEVICES]
    devices = {name: value for name, value in (before.get("blockIO") or {}).items() if name in names}
    return {**wanted, "blockIO": {**wanted.get("blockIO", {}), **devices}} if devices else wanted


def _pids(limit: int) -> Json:
    """The limit of a group that may have another one; none at all is as many processes as Linux can have."""
    return {"pids": {"limit": limit if limit > 0 else PID_MAX_LIMIT}}


def _live(wanted: Json) -> Json:
    """As a running cgroup takes it: what can only be set before processes are in it stays as it is."""
    memory = {key: value for key, value in (wanted.get("memory") or {}).items() if key != "disableOOMKiller"}
    return {
        **{key: value for key, value in wanted.items() if key != "memory"},
        **({"memory": memory} if memory else {}),
    }
