"""``pyctr update``: limits and the restart policy of containers, at once where they run."""

from __future__ import annotations

from ctr.each import each
from ctr.errors import Failure, UsageError
from ctr.flags import INT, STRING, Command, converted, flag
from pycontainerd.client import containers, supervisor, tasks
from pycontainerd.client import update as updating
from pycontainerd.client.happenings import tell
from pycontainerd.core.settings import parse_restart
from pycontainerd.core.units import parse_bytes, parse_nano_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.context import Context
    from ctr.flags import Values

    Json = dict[str, Any]

COMMAND = Command(
    "update",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update the limits and the restart policy of containers",
    (
        flag("blkio-weight", "", INT, "Block IO weight, 10 to 1000 (0: the default)", metavar="uint16"),
        flag("cpu-period", "", INT, "CPU bandwidth period in microseconds"),
        flag("cpu-quota", "", INT, "CPU bandwidth quota in microseconds"),
        flag("cpu-rt-period", "", INT, "Real-time period in microseconds: not offered"),
        flag("cpu-rt-runtime", "", INT, "Real-time runtime in microseconds: not offered"),
        flag("cpu-shares", "c", INT, "CPU shares (relative weight)"),
        flag("cpus", "", STRING, "Number of CPUs, such as 1.5", metavar="decimal"),
        flag("cpuset-cpus", "", STRING, "CPUs to run on (0-3, 0,1)"),
        flag("cpuset-mems", "", STRING, "Memory nodes to use (0-3, 0,1)"),
        flag("kernel-memory", "", STRING, "Kernel memory limit: not offered", metavar="bytes"),
        flag("memory", "m", STRING, "Memory limit", metavar="bytes"),
        flag("memory-reservation", "", STRING, "Memory soft limit", metavar="bytes"),
        flag("memory-swap", "", STRING, "Memory plus swap (-1: unlimited swap)", metavar="bytes"),
        flag("pids-limit", "", INT, "Most processes (-1: unlimited)"),
        flag("restart", "", STRING, "Restart policy to apply when a container exits"),
    ),
    least=1,
    example="pyctr update --memory 512m --memory-swap 1g web\npyctr update --restart=unless-stopped web db",
)
_SIZES = (("memory", "Memory"), ("memory-reservation", "MemoryReservation"))
_NUMBERS = (
    ("blkio-weight", "BlkioWeight"), ("cpu-period", "CpuPeriod"), ("cpu-quota", "CpuQuota"),
    ("cpu-shares", "CpuShares"), ("pids-limit", "PidsLimit"),
)  # fmt: skip
_REFUSED = (
    ("cpu-rt-period", "give --cap-add SYS_NICE and --ulimit rtprio=N when the container is created"),
    ("cpu-rt-runtime", "give --cap-add SYS_NICE and --ulimit rtprio=N when the container is created"),
    ("kernel-memory", "kernels since 5.4 have no such limit: --memory counts the kernel's memory, too"),
)
_TEXTS = (("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems"))


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Exit code 0 when all were updated."""
    for name, hint in _REFUSED:
        if values.given(name) and values.text(name) != "0":
            raise Failure(f"--{name} {values.text(name)} is not offered", hint)
    changes = _changes(values)
    policy = values.text("restart")
    if policy:
        parse_restart(policy)
    if not changes and not policy:
        raise UsageError("you must provide one or more flags when using this command")

    def change(name: str) -> None:
        container = containers.find(context.daemon, name)
        if changes:
            process = tasks.get(context.daemon, container.id)
            updating.limits(context.daemon, container, changes, process)
        if policy:
            supervisor.set_policy(context.daemon, container.id, policy)
        tell(context.daemon, "container", "update", container.id)

    return each(arguments, change)


def _changes(values: Values) -> Json:
    """The fields of HostConfig that change."""
    result: Json = {}
    for name, key in _SIZES:
        size = converted(values, name, parse_bytes)
        if size is not None:
            result[key] = size
    if values.given("memory-swap"):
        text = values.text("memory-swap")
        result["MemorySwap"] = -1 if text == "-1" else converted(values, "memory-swap", parse_bytes)
    nano = converted(values, "cpus", parse_nano_cpus)
    if nano is not None:
        result["NanoCpus"] = nano
    result.update((key, values.number(name)) for name, key in _NUMBERS if values.given(name))
    result.update((key, values.text(name)) for name, key in _TEXTS if values.given(name))
    return result
