"""``--use-api-socket``: the daemon's sockets in the container, so that what runs there can ask it for more."""

from __future__ import annotations

import os

from ctr.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context

    Json = dict[str, Any]


def add(context: Context, config: Json, host_config: Json) -> None:
    """Bind both sockets where they are on the host, and tell their place and the namespace in the environment.

    A variable that the user has set stays. Raises Failure when there is no socket to bind.
    """
    address = os.path.abspath(context.address.removesuffix(".ttrpc"))
    sockets = [path for path in (address, address + ".ttrpc") if os.path.exists(path)]
    if not sockets:
        raise Failure(f"--use-api-socket: there is no {address}", "give the daemon's socket with pyctr --address")
    mounts = [{"Type": "bind", "Source": path, "Target": path} for path in sockets]
    host_config["Mounts"] = [*host_config.get("Mounts", ()), *mounts]
    told = {
        "CONTAINERD_ADDRESS": address,
        "CONTAINERD_NAMESPACE": context.namespace,
        "PYCTR_ADDRESS": address,
        "PYCTR_NAMESPACE": context.namespace,
    }
    names = {item.partition("=")[0] for item in config["Env"]}
    config["Env"] = [*config["Env"], *(f"{name}={value}" for name, value in told.items() if name not in names)]
