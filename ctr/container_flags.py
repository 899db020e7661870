"""The flags that ``run`` and ``create`` share, and how they become Docker's Config and HostConfig."""

from __future__ import annotations

import os

from ctr import container_refusals
from ctr.errors import Failure, UsageError
from ctr.flags import BOOL, INT, LIST, STRING, converted, flag
from ctr.signals import parse_signal
from pycontainerd.core import logdrivers, mountspec, publish, settings, spec_devices, spec_resources
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.units import parse_bytes, parse_duration, parse_nano_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctr.flags import Values

    Json = dict[str, Any]

FLAGS = (
    flag("add-host", "", LIST, "Add a host and its address to /etc/hosts (host:ip)"),
    flag("annotation", "", LIST, "Add an annotation to the OCI runtime's spec"),
    flag("attach", "a", LIST, "Attach to STDIN, STDOUT or STDERR"),
    flag("blkio-weight", "", INT, "Block IO weight, 10 to 1000 (0: the default)", metavar="uint16"),
    flag("blkio-weight-device", "", LIST, "Block IO weight of a device (/dev/sda:200)"),
    flag("cap-add", "", LIST, "Add Linux capabilities"),
    flag("cap-drop", "", LIST, "Drop Linux capabilities"),
    flag("cgroup-parent", "", STRING, "Parent cgroup of the container"),
    flag("cgroupns", "", STRING, "Cgroup namespace to use (host or private)"),
    flag("cidfile", "", STRING, "Write the container's id to the file"),
    flag("cpu-count", "", INT, "Windows only: not offered"),
    flag("cpu-percent", "", INT, "Windows only: not offered"),
    flag("cpu-period", "", INT, "CPU bandwidth period in microseconds"),
    flag("cpu-quota", "", INT, "CPU bandwidth quota in microseconds"),
    flag("cpu-rt-period", "", INT, "Real-time period in microseconds: not offered"),
    flag("cpu-rt-runtime", "", INT, "Real-time runtime in microseconds: not offered"),
    flag("cpu-shares", "c", INT, "CPU shares (relative weight)"),
    flag("cpus", "", STRING, "Number of CPUs, such as 1.5", metavar="decimal"),
    flag("cpuset-cpus", "", STRING, "CPUs to run on (0-3, 0,1)"),
    flag("cpuset-mems", "", STRING, "Memory nodes to use (0-3, 0,1)"),
    flag("detach-keys", "", STRING, "Keys that detach from the container", default="ctrl-p,ctrl-q"),
    flag("device", "", LIST, "Add a host device to the container"),
    flag("device-cgroup-rule", "", LIST, "Add a rule to the allowed devices"),
    flag("device-read-bps", "", LIST, "Limit reading from a device, in bytes a second (/dev/sda:1mb)"),
    flag("device-read-iops", "", LIST, "Limit reading from a device, in operations a second (/dev/sda:1000)"),
    flag("device-write-bps", "", LIST, "Limit writing to a device, in bytes a second (/dev/sda:1mb)"),
    flag("device-write-iops", "", LIST, "Limit writing to a device, in operations a second (/dev/sda:1000)"),
    flag("dns", "", LIST, "Set name servers"),
    flag("dns-option", "", LIST, "Set options of the resolver"),
    flag("dns-search", "", LIST, "Set search domains"),
    flag("disable-content-trust", "", BOOL, "Skip image verification (signatures are not looked at)", default="true"),
    flag("domainname", "", STRING, "Container NIS domain name"),
    flag("entrypoint", "", STRING, "Overwrite the image's ENTRYPOINT"),
    flag("env", "e", LIST, "Set environment variables"),
    flag("env-file", "", LIST, "Read environment variables from a file"),
    flag("expose", "", LIST, "Note a port as exposed"),
    flag("gpus", "", STRING, "Not offered: see --device and --runtime", metavar="gpu-request"),
    flag("group-add", "", LIST, "Add further groups to join"),
    flag("health-cmd", "", STRING, "Command to check health"),
    flag("health-interval", "", STRING, "Time between checks (ms|s|m|h)", metavar="duration"),
    flag("health-retries", "", INT, "Failures in a row that make it unhealthy"),
    flag("health-start-period", "", STRING, "Time to start up before failures count", metavar="duration"),
    flag("health-start-interval", "", STRING, "Time between checks while it starts up", metavar="duration"),
    flag("health-timeout", "", STRING, "Longest time a check may take", metavar="duration"),
    flag("hostname", "h", STRING, "Container host name"),
    flag("init", "", BOOL, "Run an init that forwards signals and reaps processes"),
    flag("interactive", "i", BOOL, "Keep STDIN open even if not attached"),
    flag("io-maxbandwidth", "", STRING, "Windows only: not offered", metavar="bytes"),
    flag("io-maxiops", "", INT, "Windows only: not offered", metavar="uint"),
    flag("ip", "", STRING, "IPv4 address in a network"),
    flag("ipc", "", STRING, "IPC namespace to use (private, host, none, container:NAME)"),
    flag("isolation", "", STRING, "Windows only: nothing but default"),
    flag("kernel-memory", "", STRING, "Kernel memory limit: not offered", metavar="bytes"),
    flag("label", "l", LIST, "Set labels on the container"),
    flag("label-file", "", LIST, "Read labels from a file, one a line"),
    flag("log-driver", "", STRING, "Where the output goes (json-file, cri, journald or none)"),
    flag("log-opt", "", LIST, "Options of the log driver (max-size=10m, max-file=5, compress=true)"),
    flag("memory", "m", STRING, "Memory limit", metavar="bytes"),
    flag("memory-reservation", "", STRING, "Memory soft limit", metavar="bytes"),
    flag("memory-swap", "", STRING, "Memory plus swap (-1: unlimited swap)", metavar="bytes"),
    flag("memory-swappiness", "", INT, "How readily memory is swapped, 0 to 100", default="-1"),
    flag("mount", "", LIST, "Attach a file system (type=bind, volume, tmpfs or image)", metavar="mount"),
    flag("name", "", STRING, "Give the container a name"),
    flag("ip6", "", STRING, "IPv6 address in a network"),
    flag("link", "", LIST, "Name another container in /etc/hosts (legacy: networks have names)"),
    flag("link-local-ip", "", LIST, "Link-local addresses: not offered"),
    flag("mac-address", "", STRING, "MAC address of the container's interface"),
    flag("network", "", LIST, "Network to use (NAME, bridge, host, none, container:NAME)", metavar="network"),
    flag("net", "", LIST, "The same as --network"),
    flag("net-alias", "", LIST, "The same as --network-alias"),
    flag("network-alias", "", LIST, "Further name in a network"),
    flag("no-healthcheck", "", BOOL, "Disable any health check of the image"),
    flag("oom-kill-disable", "", BOOL, "Never kill when memory runs out"),
    flag("oom-score-adj", "", INT, "How readily the kernel kills it (-1000 to 1000)"),
    flag("pid", "", STRING, "PID namespace to use (host, container:NAME)"),
    flag("pids-limit", "", INT, "Most processes (-1: unlimited)"),
    flag("platform", "", STRING, "Platform of the image (os/arch[/variant])"),
    flag("privileged", "", BOOL, "Give extended privileges"),
    flag("publish", "p", LIST, "Publish a port on the host"),
    flag("publish-all", "P", BOOL, "Publish all exposed ports"),
    flag("pull", "", STRING, "Pull the image (always, missing, never)", default="missing"),
    flag("quiet", "q", BOOL, "Say nothing while pulling"),
    flag("read-only", "", BOOL, "Mount the root file system read-only"),
    flag("restart", "", STRING, "Restart policy (no, on-failure[:N], always, unless-stopped)", default="no"),
    flag("restart-on-unhealthy", "", BOOL, "Stop and start it again when its health check fails"),
    flag("rm", "", BOOL, "Remove the container when it exits"),
    flag("runtime", "", STRING, "OCI runtime, or shim, to use"),
    flag("security-opt", "", LIST, "Security options"),
    flag("shm-size", "", STRING, "Size of /dev/shm", metavar="bytes"),
    flag("stop-signal", "", STRING, "Signal that stops the container"),
    flag("stop-timeout", "", INT, "Seconds to wait before killing it"),
    flag("storage-opt", "", LIST, "Storage options of the container (size=10g)"),
    flag("sysctl", "", LIST, "Kernel settings of the container's namespaces", metavar="map"),
    flag("tmpfs", "", LIST, "Mount a tmpfs directory"),
    flag("tty", "t", BOOL, "Allocate a pseudo-terminal"),
    flag("ulimit", "", LIST, "Ulimit options", metavar="ulimit"),
    flag("use-api-socket", "", BOOL, "Bind mount the daemon's sockets, and say in the environment where they are"),
    flag("user", "u", STRING, "User name or id (format: <name|uid>[:<group|gid>])"),
    flag("userns", "", STRING, "User namespace to use (host)"),
    flag("uts", "", STRING, "UTS namespace to use (host)"),
    flag("volume", "v", LIST, "Mount a volume, or a directory or file of the host"),
    flag("volume-driver", "", STRING, "Driver of the volumes that are made (local)"),
    flag("volumes-from", "", LIST, "Mount what other containers have mounted"),
    flag("workdir", "w", STRING, "Working directory inside the container"),
)


def config(values: Values, image: str, command: list[str]) -> Json:
    """Docker's Config of the command line."""
    result: Json = {
        "Image": image,
        "Cmd": command or None,
        "Env": environment(values),
        "Labels": labels(values),
        "Tty": values.on("tty"),
        "OpenStdin": values.on("interactive"),
        "User": values.text("user"),
        "WorkingDir": values.text("workdir"),
        "Hostname": values.text("hostname"),
        "Domainname": values.text("domainname"),
        "StopSignal": values.text("stop-signal"),
    }
    if values.text("stop-signal"):
        parse_signal(values.text("stop-signal"))
    if values.given("entrypoint"):
        result["Entrypoint"] = [values.text("entrypoint")]
    if values.given("stop-timeout"):
        result["StopTimeout"] = values.number("stop-timeout")
    if values.items("expose"):
        result["ExposedPorts"] = {_usage(publish.exposed, port): {} for port in values.items("expose")}
    for port in _bindings(values):
        result.setdefault("ExposedPorts", {})[port] = {}
    volumes = _volumes(values)[1]
    if volumes:
        result["Volumes"] = volumes
    health = _health(values)
    if health:
        result["Healthcheck"] = health
    return result


def _health(values: Values) -> Json:
    if values.on("no-healthcheck"):
        if any(values.given(f"health-{name}") for name in ("cmd", "retries", *(name for name, _ in _HEALTH_TIMES))):
            raise UsageError("--no-healthcheck conflicts with --health-* options", "give one or the other")
        return {"Test": ["NONE"]}
    result: Json = {}
    if values.given("health-cmd"):
        result["Test"] = ["CMD-SHELL", values.text("health-cmd")]
    for name, key in _HEALTH_TIMES:
        seconds = converted(values, "health-" + name, parse_duration)
        if seconds is not None:
            if seconds and seconds < _SHORTEST:
                raise UsageError(f"--health-{name} cannot be less than 1ms", "give 0 for the default")
            result[key] = int(seconds * 1e9)
    if values.given("health-retries"):
        result["Retries"] = values.number("health-retries")
        if result["Retries"] < 0:
            raise UsageError("--health-retries cannot be negative", "give 0 for the default")
    return result


_HEALTH_TIMES = (
    ("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod"),
    ("start-interval", "StartInterval"),
)  # fmt: skip
_SHORTEST = 0.001
"""Seconds; Docker's bound."""


def host_config(values: Values) -> Json:
    """Docker's HostConfig of the command line: only what was asked for, and the defaults everybody looks at."""
    container_refusals.check(values)
    result: Json = {
        "NetworkMode": endpoints(values)[0]["network"],
        "PortBindings": _bindings(values),
        "PublishAllPorts": values.on("publish-all"),
        "RestartPolicy": converted(values, "restart", settings.parse_restart) or {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": values.on("rm"),
        "Privileged": values.on("privileged"),
        "LogConfig": _log_config(values),
    }
    if values.text("uts") == "host" and (values.given("hostname") or values.given("domainname")):
        raise UsageError("conflicting options: hostname and the UTS mode", "leave one of --hostname and --uts out")
    if result["AutoRemove"] and result["RestartPolicy"]["Name"] != "no":
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    _copy(values, result)
    result.update((key, [_capability(name) for name in result[key]]) for key in ("CapAdd", "CapDrop") if key in result)
    _limits(values, result)
    _attachments(values, result)
    return result


def endpoints(values: Values) -> list[Json]:
    """The networks of the command line as endpoint requests, the first being the container's network mode."""
    texts = values.items("network") + values.items("net") or ["default"]
    found = [_network(text) for text in texts]
    first, mode = found[0], found[0]["network"]
    aliases = values.items("network-alias") + values.items("net-alias")
    if aliases:
        first["aliases"] = [*first.get("aliases", ()), *aliases]
    first.update((key, values.text(name)) for name, key in _ADDRESSES if values.given(name))
    if not publish.is_bridged(mode):
        if len(found) > 1:
            raise UsageError(f"network mode {mode} cannot be combined with other networks")
        _check_joining(values, mode)
        if len(first) > 1:
            raise UsageError(
                "network-scoped options are for user-defined networks",
                f"--network {mode} has no names and addresses of its own",
            )
    elif aliases and mode in ("default", "bridge"):
        raise UsageError("network-scoped alias is supported only for containers in user defined networks")
    return found


def _check_joining(values: Values, mode: str) -> None:
    """Raises UsageError for links, and for what the container whose network is joined has decided already."""
    if values.items("link"):
        raise UsageError("links are only supported for user-defined networks", f"--network {mode} has no names")
    if not mode.startswith("container:"):
        return
    if mode == "container:":
        raise UsageError("invalid container format container:<name|id>", "name the container behind the colon")
    for names, what in _DECIDED:
        if any(values.given(name) for name in names):
            raise UsageError(f"conflicting options: {what}", "give it to the container whose network is joined")


_DECIDED = (
    (("hostname", "domainname"), "hostname and the network mode"),
    (("dns", "dns-search", "dns-option"), "dns and the network mode"),
    (("add-host",), "custom host-to-IP mapping and the network mode"),
    (("mac-address",), "mac-address and the network mode"),
    (("publish", "publish-all"), "port publishing and the container type network mode"),
    (("expose",), "port exposing and the container type network mode"),
)
_ADDRESSES = (("ip", "ip"), ("ip6", "ip6"), ("mac-address", "mac"))


def _network(text: str) -> Json:
    network: Json = _usage(publish.parse_network, text)
    return network


def _bindings(values: Values) -> Json:
    requests = [request for text in values.items("publish") for request in _usage(publish.parse, text)]
    return publish.bindings(requests)


def _copy(values: Values, result: Json) -> None:
    """The flags that mean the same in HostConfig."""
    for name, key in _TEXTS:
        if values.given(name):
            result[key] = values.text(name)
    for name, key in _LISTS:
        if values.given(name):
            result[key] = values.items(name)
    for name, key in _NUMBERS:
        if values.given(name):
            result[key] = values.number(name)
    for name, key in _SWITCHES:
        if values.on(name):
            result[key] = True


def _capability(name: str) -> str:
    """As Docker keeps it: ``CAP_NET_ADMIN``, ``ALL``."""
    plain = name.upper().removeprefix("CAP_")
    return plain if plain == "ALL" else "CAP_" + plain


_TEXTS = (
    ("cgroup-parent", "CgroupParent"), ("cgroupns", "CgroupnsMode"), ("cpuset-cpus", "CpusetCpus"),
    ("cpuset-mems", "CpusetMems"), ("ipc", "IpcMode"), ("pid", "PidMode"), ("runtime", "Runtime"),
    ("userns", "UsernsMode"), ("uts", "UTSMode"), ("volume-driver", "VolumeDriver"),
)  # fmt: skip
_LISTS = (
    ("add-host", "ExtraHosts"), ("cap-add", "CapAdd"), ("cap-drop", "CapDrop"), ("dns", "Dns"),
    ("dns-option", "DnsOptions"), ("dns-search", "DnsSearch"), ("group-add", "GroupAdd"),
    ("device-cgroup-rule", "DeviceCgroupRules"), ("volumes-from", "VolumesFrom"),
)  # fmt: skip
_NUMBERS = (
    ("blkio-weight", "BlkioWeight"), ("cpu-period", "CpuPeriod"), ("cpu-quota", "CpuQuota"),
    ("cpu-shares", "CpuShares"), ("memory-swappiness", "MemorySwappiness"), ("oom-score-adj", "OomScoreAdj"),
    ("pids-limit", "PidsLimit"),
)  # fmt: skip
_SWITCHES = (
    ("init", "Init"), ("oom-kill-disable", "OomKillDisable"), ("read-only", "ReadonlyRootfs"),
    ("restart-on-unhealthy", "RestartOnUnhealthy"),
)  # fmt: skip


def _limits(values: Values, result: Json) -> None:
    sizes = (("memory", "Memory"), ("memory-reservation", "MemoryReservation"), ("shm-size", "ShmSize"))
    for name, key in sizes:
        size = converted(values, name, parse_bytes)
        if size is not None:
            result[key] = size
    if values.given("memory-swap"):
        text = values.text("memory-swap")
        result["MemorySwap"] = -1 if text == "-1" else converted(values, "memory-swap", parse_bytes)
    nano = converted(values, "cpus", parse_nano_cpus)
    if nano is not None:
        result["NanoCpus"] = nano
    for name, key, parse in _DEVICE_LIMITS:
        if values.items(name):
            result[key] = [_argument(values, name, parse, text) for text in values.items(name)]
    if values.items("ulimit"):
        result["Ulimits"] = [_usage(spec_resources.parse_ulimit, text) for text in values.items("ulimit")]
    if values.items("sysctl"):
        result["Sysctls"] = dict(_pair("--sysctl", text) for text in values.items("sysctl"))
    if values.items("annotation"):
        result["Annotations"] = dict(_pair("--annotation", text) for text in values.items("annotation"))


_DEVICE_LIMITS = (
    ("blkio-weight-device", "BlkioWeightDevice", spec_resources.parse_weight_device),
    ("device-read-bps", "BlkioDeviceReadBps", spec_resources.parse_throttle_bytes),
    ("device-write-bps", "BlkioDeviceWriteBps", spec_resources.parse_throttle_bytes),
    ("device-read-iops", "BlkioDeviceReadIOps", spec_resources.parse_throttle_count),
    ("device-write-iops", "BlkioDeviceWriteIOps", spec_resources.parse_throttle_count),
)


def _argument(values: Values, name: str, parse: Any, text: str) -> Any:
    """One value of a LIST flag; what is wrong with it in pflag's words."""
    try:
        return parse(text)
    except InvalidArgument as error:
        cause = f'invalid argument "{text}" for "{values.flag(name).spelling}" flag: {error.what}'
        raise UsageError(cause, error.hint) from error


def _attachments(values: Values, result: Json) -> None:
    binds = _volumes(values)[0]
    if binds:
        result["Binds"] = binds
    if values.items("mount"):
        result["Mounts"] = [_mount(text) for text in values.items("mount")]
    if values.items("tmpfs"):
        result["Tmpfs"] = dict(_usage(mountspec.parse_tmpfs, text) for text in values.items("tmpfs"))
    if values.items("storage-opt"):
        result["StorageOpt"] = _storage(values.items("storage-opt"))
    if values.items("device"):
        result["Devices"] = [_usage(spec_devices.parse_device, text) for text in values.items("device")]
    if values.items("security-opt"):
        result["SecurityOpt"] = [_security(text) for text in values.items("security-opt")]


def _usage(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except InvalidArgument as error:
        cause = f'{error.what} "{error.which}"' if error.which != "" else error.what
        raise UsageError(cause, error.hint) from error


def _volumes(values: Values) -> tuple[list[str], Json]:
    """``-v`` as HostConfig.Binds and Config.Volumes, with paths of the host made absolute as Docker's newer clients do
    for ``./`` and ``../``."""
    texts: list[str] = []
    for text in values.items("volume"):
        source, colon, rest = text.partition(":")
        relative = text.startswith(("./", "../")) or source in (".", "..")
        texts.append(os.path.abspath(source) + colon + rest if relative and colon else text)
    binds: list[str] = []
    volumes: Json = {}
    for text in texts:
        more = _usage(lambda text: mountspec.split_volumes([text]), text)
        binds += more[0]
        volumes.update(more[1])
    return binds, volumes


def _mount(text: str) -> Json:
    mount: Json = _usage(mountspec.parse_mount, text)
    return mount


def _storage(items: list[str]) -> dict[str, str]:
    options = dict(_pair("--storage-opt", text) for text in items)
    for key in options:
        if key != "size":
            raise UsageError(f"--storage-opt has no option {key}", "there is size, such as size=10g")
    _usage(parse_bytes, options["size"])
    return options


def _security(text: str) -> str:
    """A seccomp profile's file is read here, where the user is, and kept as a document."""
    key, equals, value = text.partition("=")
    if key != "seccomp" or not equals or value in ("unconfined", "builtin"):
        return text
    try:
        with open(value, encoding="utf-8") as file:
            return "seccomp=" + file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"opening seccomp profile ({value}) failed: {error}") from error


def _pair(name: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"{name} {text} must be formatted as key=value")
    return key, value


def _log_config(values: Values) -> Json:
    driver = values.text("log-driver") or "json-file"
    options = dict(_pair("--log-opt", text) for text in values.items("log-opt"))
    try:
        logdrivers.check(driver, options)
    except InvalidArgument as error:
        raise Failure(error.what, error.hint) from error
    return {"Type": driver, "Config": options}


def environment(values: Values) -> list[str]:
    """``--env-file`` then ``-e``; a name alone takes our own variable, or removes the image's when we have none."""
    result: list[str] = []
    for path in values.items("env-file"):
        result += [_from_ours(line) for line in _lines(path, "env file")]
    for item in values.items("env"):
        if not item or item.startswith("="):
            raise UsageError(f"invalid environment variable: {item}")
        result.append(_from_ours(item))
    last = {item.partition("=")[0]: item for item in result}
    return list(last.values())


def _from_ours(item: str) -> str:
    if "=" in item:
        return item
    value = os.environ.get(item)
    return item if value is None else f"{item}={value}"


def labels(values: Values) -> dict[str, str]:
    """``--label-file`` then ``-l``."""
    items = [line for path in values.items("label-file") for line in _lines(path, "label file")]
    result: dict[str, str] = {}
    for item in items + values.items("label"):
        key, _, value = item.partition("=")
        if not key:
            raise UsageError(f"invalid label format: {item!r}")
        result[key] = value
    return result


def _lines(path: str, what: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.lstrip().rstrip("\r\n") for line in file]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Failure(f"{what} {path}: {reason}") from error
    for line in lines:
        name = line.partition("=")[0]
        if line and not line.startswith("#") and (not name or any(char.isspace() for char in name)):
            raise Failure(f"{what} {path}: variable {name!r} contains white space or is empty")
    return [line for line in lines if line and not line.startswith("#")]
