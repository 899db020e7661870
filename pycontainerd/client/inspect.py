"""Containers and images as documents in the shape of Docker's API (``GET /containers/{id}/json`` and its like)."""

from __future__ import annotations

import os

from pycontainerd.client import images
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


def container(found: Container, now: State, mounts: Iterable[Json] = ()) -> Json:
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
        "NetworkSettings": _network(found.host_config),
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


def _network(host_config: Json) -> Json:
    mode = str(host_config.get("NetworkMode") or "default")
    endpoint = {"NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "MacAddress": ""}
    networks = {} if mode.startswith("container:") else {"none" if mode == "default" else mode: endpoint}
    return {"Ports": {}, "IPAddress": "", "Gateway": "", "MacAddress": "", "Networks": networks}


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
    return {
        "Id": images.digest_of(found),
        "RepoTags": tags,
        "RepoDigests": [f"{repository}@{images.digest_of(found)}"],
        "Parent": "",
        "Comment": "",
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
