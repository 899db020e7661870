"""``pyctr info``: the host, the daemon, and how much there is of everything."""

from __future__ import annotations

import os
import time

from ctr.flags import STRING, Command, flag
from ctr.version import VERSION
from pycontainerd.client import containers, host, images, server, tasks
from pycontainerd.client.files import root_of
from pycontainerd.client.times import rfc3339
from pycontainerd.core import logdrivers
from pycontainerd.core.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values
    from pycontainerd.core.spec import Host

    Json = dict[str, Any]

COMMAND = Command(
    "info",
    "[OPTIONS]",
    "Display system-wide information",
    (flag("format", "f", STRING, "Format output with a Go template (or json)"),),
    most=0,
    example="pyctr info --format '{{.Containers}}'",
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0."""
    document = collect(context)
    if values.given("format"):
        from ctr.template import Template
        from ctr.template_fields import look_up

        how = values.text("format")
        print(Template("{{json .}}" if how == "json" else how, look_up).execute(document))
    else:
        _print(document)
    return 0


def collect(context: Context) -> Json:
    """Everything, by Docker's field names where it has one."""
    daemon = context.daemon
    states = [process.status for process in tasks.list_all(daemon).values()]
    running, paused = states.count(tasks.RUNNING), states.count(tasks.PAUSED)
    everything = len(containers.list_all(daemon))
    facts = host.look()
    loaded = server.plugins(daemon)
    version, _ = server.version(daemon)
    snapshotters = [item.id for item in loaded if item.type == "io.containerd.snapshotter.v1" and not item.init_err]
    machine = os.uname()
    return {
        "ID": server.identity(daemon),
        "ClientVersion": VERSION,
        "ServerVersion": version,
        "Containers": everything,
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": everything - running - paused,
        "Images": len({images.digest_of(image) for image in images.list_all(daemon)}),
        "Driver": images.SNAPSHOTTER,
        "Snapshotters": snapshotters,
        "LoggingDriver": logdrivers.DEFAULT,
        "LogDrivers": list(logdrivers.DRIVERS),
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "macvlan", "overlay"],
            "Authorization": None,
            "Log": list(logdrivers.DRIVERS),
        },
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if facts.cgroup_v2 else "1",
        "SecurityOptions": _security(facts),
        "KernelVersion": machine.release,
        "OperatingSystem": _system(),
        "OSType": "linux",
        "Architecture": machine.machine,
        "NCPU": facts.cpus,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": machine.nodename,
        "RootDir": root_of(daemon),
        "DockerRootDir": root_of(daemon),
        "SystemTime": rfc3339(time.time_ns()),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "Labels": [],
        "Swarm": {"LocalNodeState": "inactive", "ControlAvailable": False},
        "Warnings": None,
        "Address": context.address,
        "Namespace": context.namespace,
    }


def _security(facts: Host) -> list[str]:
    options = [("apparmor", bool(facts.apparmor)), ("seccomp", facts.seccomp), ("cgroupns", facts.cgroup_v2)]
    return [name for name, there in options if there]


def _system() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            for line in file:
                if line.startswith("PRETTY_NAME="):
                    return line.partition("=")[2].strip().strip('"')
    except OSError:
        pass
    return "Linux"


_SHOWN = (
    ("Client Version", "ClientVersion"), ("Server Version", "ServerVersion"), ("Address", "Address"),
    ("Namespace", "Namespace"), ("Containers", "Containers"), (" Running", "ContainersRunning"),
    (" Paused", "ContainersPaused"), (" Stopped", "ContainersStopped"), ("Images", "Images"),
    ("Storage Driver", "Driver"), ("Snapshotters", "Snapshotters"), ("Logging Driver", "LoggingDriver"),
    ("Cgroup Version", "CgroupVersion"), ("Security Options", "SecurityOptions"), ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"), ("Architecture", "Architecture"), ("CPUs", "NCPU"),
    ("Total Memory", "MemTotal"), ("Name", "Name"), ("ID", "ID"), ("Root Dir", "RootDir"),
)  # fmt: skip


def _print(document: Json) -> None:
    for title, key in _SHOWN:
        value = document[key]
        if key == "MemTotal":
            value = human_size(value, binary=True)
        elif isinstance(value, list):
            value = " ".join(value)
        print(f"{title}: {value}")
