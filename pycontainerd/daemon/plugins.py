"""What Introspection.Plugins lists: the daemon's parts under the types and ids that containerd's clients know."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycontainerd.core.platforms import from_machine
from pycontainerd.core.restart import POLICIES
from pycontainerd.daemon import installed
from pycontainerd.services.introspection import Plugin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycontainerd.daemon.config import Config

LOG_URI_SCHEMES = "fifo,binary,binary-v2,file"
"""What the shim accepts as stdio; clients parse this export."""
_SERVICES = ("containers", "content", "diff", "images", "introspection", "namespaces", "snapshots", "tasks")
_GRPC = (
    "containers", "content", "diff", "events", "healthcheck", "images", "introspection", "leases", "mounts",
    "namespaces", "snapshots", "streaming", "tasks", "transfer", "version",
)  # fmt: skip
_LATER = "comes with the CRI service"
_FOREIGN = "not part of this daemon"


def plugins(
    config: Config, snapshotters: Mapping[str, tuple[str, Sequence[str]]], broken: Mapping[str, str]
) -> list[Plugin]:
    """Every plugin. ``snapshotters`` are (root, capabilities) by name, ``broken`` why those are not there."""
    here = (from_machine(os.uname().machine),)
    root = config.root
    found = [
        Plugin("io.containerd.content.v1", "content", exports={"root": f"{root}/io.containerd.content.v1.content"}),
        *(
            Plugin("io.containerd.snapshotter.v1", name, platforms=here, exports={"root": where}, capabilities=able)
            for name, (where, able) in snapshotters.items()
        ),
        *(Plugin("io.containerd.snapshotter.v1", name, platforms=here, skipped=why) for name, why in broken.items()),
        Plugin(
            "io.containerd.metadata.v1",
            "bolt",
            ("io.containerd.content.v1", "io.containerd.event.v1", "io.containerd.snapshotter.v1"),
            exports={"path": f"{root}/metadata.db", "policy": config.content.sharing},
        ),
        Plugin("io.containerd.event.v1", "exchange"),
        Plugin("io.containerd.gc.v1", "scheduler", ("io.containerd.metadata.v1",)),
        Plugin("io.containerd.lease.v1", "manager", ("io.containerd.metadata.v1",)),
        Plugin("io.containerd.mount-manager.v1", "bolt"),
        Plugin("io.containerd.differ.v1", "walking", ("io.containerd.metadata.v1",), here),
        Plugin("io.containerd.streaming.v1", "manager", ("io.containerd.metadata.v1",)),
        Plugin("io.containerd.transfer.v1", "local", ("io.containerd.lease.v1", "io.containerd.metadata.v1")),
        Plugin("io.containerd.monitor.task.v1", "cgroups", ("io.containerd.event.v1",), here),
        Plugin("io.containerd.monitor.container.v1", "restart", capabilities=POLICIES),
        Plugin("io.containerd.internal.v1", "opt", exports={"path": installed.directory(root)}),
        Plugin("io.containerd.shim.v1", "manager", ("io.containerd.event.v1", "io.containerd.metadata.v1"), here),
        Plugin(
            "io.containerd.runtime.v2",
            "task",
            ("io.containerd.shim.v1",),
            here,
            exports={"log-uri-schemes": LOG_URI_SCHEMES},
        ),
        *(Plugin("io.containerd.service.v1", f"{name}-service") for name in _SERVICES),
        *_grpc(_GRPC),
    ]
    return sorted(found + _absent(), key=lambda plugin: (plugin.type, plugin.id))


def _grpc(names: Iterable[str]) -> list[Plugin]:
    return [Plugin("io.containerd.grpc.v1", name) for name in names]


def _absent() -> list[Plugin]:
    """What clients may look for and must not find in working order."""
    return [
        Plugin("io.containerd.grpc.v1", "cri", skipped=_LATER),
        Plugin("io.containerd.grpc.v1", "sandbox-controllers", skipped=_LATER),
        Plugin("io.containerd.grpc.v1", "sandboxes", skipped=_LATER),
        *(Plugin("io.containerd.snapshotter.v1", name, skipped=_FOREIGN) for name in ("blockfile", "erofs")),
    ]
