"""Containers and images as documents in the shape of Docker's API (``GET /containers/{id}/json`` and its like)."""

from __future__ import annotations

import os

from pycontainerd.client import images, networks
from pycontainerd.client.times import NEVER, ns, rfc3339
from pycontainerd.core import spec_mounts
from pycontainerd.core.errors import PycontainerdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pycontainerd.client.containers import Container
    from pycontainerd.client.daemon import Daemon
    from pycontainerd.client.state import State
    from pycontainerd.wire.messages.images import Image
    from pycontainerd.wire.messages.networks import Endpoint, Sandbox
    from pycontainerd.wire.messages.supervisor import HealthState

    Json = dict[str, Any]

_HOST_DEFAULTS: Json = {
    "Binds": None,
    "ContainerIDFile": "",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "NetworkMode": "default",
    "PortBindings": {},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "VolumeDriver": "",
    "VolumesFrom": None,
    "CapAdd": None,
    "CapDrop": None,
    "CgroupnsMode": "",
    "Dns": [],
    "DnsOptions": [],
    "DnsSearch": [],
    "ExtraHosts": None,
    "GroupAdd": None,
    "IpcMode": "private",
    "Cgroup": "",
    "Links": None,
    "OomScoreAdj": 0,
    "PidMode": "",
    "Privileged": False,
    "PublishAllPorts": False,
    "ReadonlyRootfs": False,
    "SecurityOpt": None,
    "UTSMode": "",
    "UsernsMode": "",
    "ShmSize": spec_mounts.SHM_SIZE,
    "Runtime": "crun",
    "CpuShares": 0,
    "Memory": 0,
    "NanoCpus": 0,
    "CgroupParent": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteIOps": [],
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "Devices": [],
    "DeviceCgroupRules": None,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": None,
    "OomKillDisable": False,
    "PidsLimit": None,
    "Ulimits": None,
}
_CONFIG_DEFAULTS: Json = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": [],
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": {},
}


def container(found: Container, now: State, mounts: Iterable[Json] = (), sandbox: Sandbox | None = None) -> Json:
    """Docker's document of a container; ``mounts`` come from ``volumes.shown``."""
    config = {**_CONFIG_DEFAULTS, **{key: value for key, value in found.config.items() if value is not None}}
    document = found.spec
    arguments = (document.get("process") or {}).get("args") or [""]
    path = found.settings.get("LogPath") or ""
    directory = os.path.dirname(path) if path else ""
    return {
        "Id": found.id,
        "Created": found.settings.get("Created") or rfc3339(found.created),
        "Path": arguments[0],
        "Args": arguments[1:],
        "State": state(now),
        "Image": found.settings.get("Image") or "",
        "ResolvConfPath": f"{directory}/resolv.conf" if directory else "",
        "HostnamePath": f"{directory}/hostname" if directory else "",
        "HostsPath": f"{directory}/hosts" if directory else "",
        "LogPath": path,
        "Name": "/" + found.name,
        "RestartCount": now.restarts,
        "Driver": found.record.snapshotter,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": (document.get("process") or {}).get("apparmorProfile", ""),
        "ExecIDs": None,
        "HostConfig": {**_HOST_DEFAULTS, **_memory_swap(found.host_config), **found.host_config},
        "GraphDriver": {"Name": found.record.snapshotter, "Data": {"Key": found.record.snapshot_key}},
        "Mounts": list(mounts),
        "Config": config,
        "NetworkSettings": _network(found, sandbox),
    }


def _memory_swap(host_config: Json) -> Json:
    """Docker fills in twice the memory where nothing was said of swap."""
    return {"MemorySwap": 2 * host_config["Memory"]} if host_config.get("Memory") else {}


def state(now: State) -> Json:
    """Docker's ``State``."""
    document: Json = {
        "Status": now.status,
        "Running": now.running or now.status == "restarting",
        "Paused": now.status == "paused",
        "Restarting": now.status == "restarting",
        "OOMKilled": now.oom_killed,
        "Dead": False,
        "Pid": now.pid,
        "ExitCode": now.exit_code,
        "Error": now.error,
        "StartedAt": rfc3339(now.started),
        "FinishedAt": rfc3339(now.finished),
    }
    if now.health is not None:
        document["Health"] = _health(now.health)
    return document


def _health(health: HealthState) -> Json:
    return {
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": [
            {
                "Start": rfc3339(ns(result.start)),
                "End": rfc3339(ns(result.end)),
                "ExitCode": result.exit_code,
                "Output": result.output,
            }
            for result in health.results
        ],
    }


_ENDPOINT_DEFAULTS: Json = {
    "IPAMConfig": None, "Links": None, "Aliases": None, "NetworkID": "", "EndpointID": "", "Gateway": "",
    "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
    "MacAddress": "", "DriverOpts": None,
}  # fmt: skip
_FIRST = (
    "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway",
    "MacAddress",
)  # fmt: skip
"""Fields of the default network's endpoint that stand outside of it, too."""


def _network(found: Container, sandbox: Sandbox | None) -> Json:
    """Docker's ``NetworkSettings``: addresses while it runs, the names of its networks always."""
    joined = {name: {**_ENDPOINT_DEFAULTS} for name in networks.names_of(found)}
    if sandbox is not None:
        joined = {endpoint.network_name: _endpoint(endpoint, active=sandbox.active) for endpoint in sandbox.endpoints}
    ports = networks.ports_of(sandbox)
    if sandbox is not None and sandbox.active:
        for port in found.config.get("ExposedPorts") or ():
            ports.setdefault(port, None)
    outside = joined.get("bridge") or _ENDPOINT_DEFAULTS
    key = sandbox.netns if sandbox is not None and sandbox.active else ""
    return {
        "Bridge": "",
        "SandboxID": found.id if key else "",
        "SandboxKey": key,
        "Ports": ports,
        **{name: outside[name] for name in _FIRST},
        "Networks": joined,
    }


def _endpoint(endpoint: Endpoint, *, active: bool) -> Json:
    document = {**_ENDPOINT_DEFAULTS, "Aliases": list(endpoint.aliases) or None, "NetworkID": endpoint.network_id}
    if active:
        document.update(
            EndpointID=endpoint.id,
            Gateway=endpoint.ipv4_gateway,
            IPAddress=endpoint.ipv4,
            IPPrefixLen=endpoint.ipv4_prefix,
            IPv6Gateway=endpoint.ipv6_gateway,
            GlobalIPv6Address=endpoint.ipv6,
            GlobalIPv6PrefixLen=endpoint.ipv6_prefix,
            MacAddress=endpoint.mac,
        )
    return document


def image(daemon: Daemon, found: Image, size: int) -> Json:
    """Docker's document of an image; ``size`` in bytes. Fields of a configuration that is not here are empty."""
    same = [other.name for other in images.list_all(daemon) if images.digest_of(other) == images.digest_of(found)]
    tags = sorted(images.familiar(name) for name in same if "@" not in name)
    try:
        contents = images.contents(daemon, found)
        config, layers = contents.config, contents.diff_ids
    except PycontainerdError:
        config, layers = {}, []
    repository = images.split_name(found.name)[0]
    steps = config.get("history") or [{}]
    return {
        "Id": images.digest_of(found),
        "RepoTags": tags,
        "RepoDigests": [f"{repository}@{images.digest_of(found)}"],
        "Parent": "",
        "Comment": steps[-1].get("comment") or "",
        "Created": config.get("created") or NEVER,
        "Author": config.get("author", ""),
        "Config": {**_CONFIG_DEFAULTS, **(config.get("config") or {})},
        "Architecture": config.get("architecture", ""),
        "Os": config.get("os", ""),
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Name": images.SNAPSHOTTER, "Data": None},
        "RootFS": {"Type": "layers", "Layers": layers},
        "Metadata": {"LastTagTime": rfc3339(found.updated_at.seconds * 10**9) if found.updated_at else NEVER},
    }
