"""Limits: Docker's ``HostConfig`` fields as ``linux.resources`` and ``process.rlimits`` of the OCI spec."""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.units import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    Json = dict[str, Any]

MIN_MEMORY = 6 << 20
"""Least memory limit, in bytes: below it the runtime itself is killed while it sets up."""
PERIOD = 100_000
"""The CPU bandwidth period that ``--cpus`` stands on, in microseconds."""

_RLIMITS = (
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)  # names of setrlimit(2)


def resources(host_config: Json, *, cpus: int, swap_accounting: bool) -> Json:
    """``linux.resources`` without devices. ``cpus`` is how many the host has. Raises InvalidArgument."""
    parts: Json = {
        "memory": _memory(host_config, swap_accounting=swap_accounting),
        "cpu": _cpu(host_config, cpus),
        "blockIO": _block_io(host_config),
    }
    result = {name: part for name, part in parts.items() if part}
    pids = host_config.get("PidsLimit") or 0
    if pids > 0:  # a new group has no limit, and crun 1.8 cannot say so where cgroup v1 wants to hear it
        result["pids"] = {"limit": pids}
    return result


def _memory(host: Json, *, swap_accounting: bool) -> Json:
    memory, swap = host.get("Memory") or 0, host.get("MemorySwap") or 0
    reservation = host.get("MemoryReservation") or 0
    _check_memory(memory, swap, reservation)
    result: Json = {}
    if memory:
        result["limit"] = memory
    if swap_accounting and (memory or swap == -1):
        result["swap"] = swap or 2 * memory
    if reservation:
        result["reservation"] = reservation
    swappiness = host.get("MemorySwappiness")
    if swappiness is not None and swappiness != -1:
        if not 0 <= swappiness <= 100:
            raise InvalidArgument("--memory-swappiness", swappiness, "give 0 to 100")
        result["swappiness"] = swappiness
    if host.get("OomKillDisable"):
        result["disableOOMKiller"] = True
    return result


def _check_memory(memory: int, swap: int, reservation: int) -> None:
    if memory and memory < MIN_MEMORY:
        raise InvalidArgument("--memory is below the least limit of 6MB", hint="give 6m or more")
    if swap > 0 and not memory:
        raise InvalidArgument("--memory-swap needs --memory", hint="it limits memory and swap together")
    if 0 < swap < memory:
        raise InvalidArgument("--memory-swap is less than --memory", hint="it limits memory and swap together")
    if memory and reservation > memory:
        raise InvalidArgument("--memory-reservation is more than --memory", hint="give less")


def _cpu(host: Json, cpus: int) -> Json:
    result: Json = {}
    nano = host.get("NanoCpus") or 0
    if nano:
        if host.get("CpuPeriod") or host.get("CpuQuota"):
            raise InvalidArgument("--cpus excludes --cpu-period and --cpu-quota", hint="give one or the other")
        if not 10**7 <= nano <= cpus * 10**9:
            raise InvalidArgument(f"--cpus must be from 0.01 to {cpus}.00", hint=f"this host has {cpus} CPUs")
        result["period"], result["quota"] = PERIOD, nano * PERIOD // 10**9
    for key, field in _CPU_FIELDS:
        if host.get(key):
            result[field] = host[key]
    return result


_CPU_FIELDS = (
    ("CpuShares", "shares"),
    ("CpuPeriod", "period"),
    ("CpuQuota", "quota"),
    ("CpusetCpus", "cpus"),
    ("CpusetMems", "mems"),
)


def _block_io(host: Json) -> Json:
    weight = host.get("BlkioWeight") or 0
    if weight and not 10 <= weight <= 1000:
        raise InvalidArgument("--blkio-weight", weight, "give 10 to 1000")
    return {"weight": weight} if weight else {}


BLOCK_DEVICES = (
    ("BlkioWeightDevice", "weightDevice", "Weight"),
    ("BlkioDeviceReadBps", "throttleReadBpsDevice", "Rate"),
    ("BlkioDeviceWriteBps", "throttleWriteBpsDevice", "Rate"),
    ("BlkioDeviceReadIOps", "throttleReadIOPSDevice", "Rate"),
    ("BlkioDeviceWriteIOps", "throttleWriteIOPSDevice", "Rate"),
)
"""Limits for single devices: HostConfig's field, the spec's in ``blockIO``, and the key that holds the number."""


def block_paths(host_config: Json) -> Iterator[str]:
    """The devices that limits are asked for, whose numbers ``block_devices`` wants."""
    for field, _, _ in BLOCK_DEVICES:
        for entry in host_config.get(field) or ():
            yield entry["Path"]


def block_devices(host_config: Json, numbers: Mapping[str, tuple[int, int]]) -> Json:
    """The part of ``linux.resources.blockIO`` for single devices; ``numbers`` are major and minor by path."""
    result: Json = {}
    for field, name, key in BLOCK_DEVICES:
        entries = [(*numbers[entry["Path"]], entry[key]) for entry in host_config.get(field) or ()]
        if entries:
            result[name] = [{"major": major, "minor": minor, key.lower(): number} for major, minor, number in entries]
    return result


def parse_weight_device(text: str) -> Json:
    """``/dev/sda:200`` as Docker's ``{"Path","Weight"}``; 0 is the default weight. Raises InvalidArgument."""
    path, number = _device_limit(text)
    if not _is_count(number) or (int(number) and not 10 <= int(number) <= 1000):
        raise InvalidArgument(f"invalid weight for device: {text}", hint="give <device-path>:<10 to 1000>")
    return {"Path": path, "Weight": int(number)}


def parse_throttle_bytes(text: str) -> Json:
    """``/dev/sda:1mb`` as Docker's ``{"Path","Rate"}``, in bytes a second. Raises InvalidArgument."""
    path, number = _device_limit(text)
    try:
        return {"Path": path, "Rate": parse_bytes(number)}
    except InvalidArgument as error:
        hint = "give <device-path>:<number>[<unit>], a positive number, the unit being kb, mb or gb"
        raise InvalidArgument(f"invalid rate for device: {text}", hint=hint) from error


def parse_throttle_count(text: str) -> Json:
    """``/dev/sda:1000`` as Docker's ``{"Path","Rate"}``, in operations a second. Raises InvalidArgument."""
    path, number = _device_limit(text)
    if not _is_count(number):
        hint = "give <device-path>:<number>, a positive number"
        raise InvalidArgument(f"invalid rate for device: {text}", hint=hint)
    return {"Path": path, "Rate": int(number)}


def _device_limit(text: str) -> tuple[str, str]:
    path, colon, number = text.partition(":")
    if not colon:
        raise InvalidArgument(f"bad format: {text}", hint="give <device-path>:<number>, such as /dev/sda:100")
    if not path.startswith("/dev/"):
        raise InvalidArgument(f"bad format for device path: {text}", hint="devices are below /dev, such as /dev/sda")
    return path, number


def _is_count(text: str) -> bool:
    return text.isdigit() and text.isascii()


def parse_ulimit(text: str) -> Json:
    """``nofile=1024:2048`` as Docker's ``{"Name","Soft","Hard"}``; -1 is unlimited. Raises InvalidArgument."""
    name, equals, value = text.partition("=")
    soft, _, hard = value.partition(":")
    try:
        limits = int(soft), int(hard or soft)
    except ValueError as error:
        raise InvalidArgument("--ulimit", text, "give name=soft[:hard] in numbers, such as nofile=1024:2048") from error
    if not equals or name not in _RLIMITS:
        raise InvalidArgument("--ulimit", text, f"the names are {', '.join(_RLIMITS)}")
    if limits[1] != -1 and not -1 < limits[0] <= limits[1]:
        raise InvalidArgument("--ulimit", text, "the soft limit must not exceed the hard one")
    return {"Name": name, "Soft": limits[0], "Hard": limits[1]}


def rlimits(ulimits: Sequence[Json]) -> list[Json]:
    """Docker's ulimits as the spec's ``process.rlimits``."""
    return [
        {
            "type": "RLIMIT_" + item["Name"].upper(),
            "soft": item["Soft"] & 0xFFFFFFFFFFFFFFFF,
            "hard": item["Hard"] & 0xFFFFFFFFFFFFFFFF,
        }
        for item in ulimits
    ]
