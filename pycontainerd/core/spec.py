"""The OCI runtime spec of a container that was asked for in Docker's words, as safe as Docker's.

``build`` takes Docker's ``Config`` and ``HostConfig`` (Docker's own field names, image defaults already merged in) and
facts about the host, and returns the document for config.json (OCI runtime-spec 1.0.2). Pure: whatever must be looked
up on the host (device nodes, process ids to join, a profile's file) is handed in.

Users are not resolved here: unless it is purely numeric ``uid:gid``, Docker's user string goes verbatim into
``process.user.username`` and names of further groups into an annotation; the shim resolves both inside the root file
system once it is mounted, where alone /etc/passwd can be trusted to be the container's.
"""

from __future__ import annotations

from pycontainerd.core import spec_capabilities, spec_devices, spec_mounts, spec_resources
from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Json = dict[str, Any]

VERSION = "1.0.2"
TYPE_URL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
PROCESS_TYPE_URL = "types.containerd.io/opencontainers/runtime-spec/1/Process"
GROUP_ADD = "io.pycontainerd.group-add"
"""Annotation: comma-separated names or numbers of supplementary groups, resolved by the shim."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT = "/sbin/docker-init"
"""Where ``--init`` puts the init program in a container."""
_NO_SECCOMP = "unconfined"


class Host:
    """What ``build`` must know of the host. ``apparmor`` names the profile to use, empty where there is none."""

    __slots__ = (
        "apparmor",
        "architecture",
        "capabilities",
        "cgroup_v2",
        "cpus",
        "hostname",
        "init",
        "kernel",
        "seccomp",
        "swap_accounting",
        "thermal_throttle",
    )

    def __init__(self, architecture: str = "amd64", kernel: tuple[int, int] = (5, 10), cpus: int = 1) -> None:
        self.architecture, self.kernel, self.cpus = architecture, kernel, cpus
        self.capabilities: tuple[str, ...] = spec_capabilities.ALL
        self.cgroup_v2 = self.seccomp = self.swap_accounting = True
        self.apparmor = self.hostname = self.init = ""
        self.thermal_throttle = False


class Parts:
    """What the caller looked up for one container.

    ``files``: managed files by target (/etc/hosts …). ``devices``: nodes for ``--device`` (all of the host's when
    privileged). ``joins``: namespace paths by the spec's type (``pid`` …), for ``container:`` modes. ``seccomp``: the
    profile document of ``--security-opt``, or None for the default. ``block_numbers``: major and minor by path of the
    block devices that have limits of their own.
    """

    __slots__ = ("block_numbers", "devices", "files", "joins", "seccomp", "shm_path")

    def __init__(self) -> None:
        self.files: Mapping[str, str] = {}
        self.devices: Sequence[spec_devices.Device] = ()
        self.joins: Mapping[str, str] = {}
        self.seccomp: Json | None = None
        self.shm_path = ""
        self.block_numbers: Mapping[str, tuple[int, int]] = {}


def build(id: str, namespace: str, config: Json, host_config: Json, host: Host, parts: Parts) -> Json:
    """The spec of container ``id``. Raises InvalidArgument for settings that make no sense on this host."""
    privileged = bool(host_config.get("Privileged"))
    security = Security(host_config.get("SecurityOpt") or ())
    capabilities = spec_capabilities.granted(
        host_config.get("CapAdd") or (),
        host_config.get("CapDrop") or (),
        privileged=privileged,
        available=host.capabilities,
    )
    process = _process(config, host_config, capabilities, id)
    process["noNewPrivileges"] = security.no_new_privileges
    if host.apparmor and not privileged and security.apparmor != _NO_SECCOMP:
        process["apparmorProfile"] = security.apparmor or host.apparmor
    document: Json = {
        "ociVersion": VERSION,
        "process": process,
        "root": {"path": "rootfs", "readonly": bool(host_config.get("ReadonlyRootfs"))},
        "hostname": config.get("Hostname") or id[:12],
        "mounts": _mounts(host_config, host, parts),
        "annotations": _annotations(host_config),
        "linux": _linux(id, namespace, host_config, host, parts),
    }
    if not any(item["type"] == "uts" for item in document["linux"]["namespaces"]):
        del document["hostname"]  # it would rename the host
    elif config.get("Domainname"):  # as a setting: older runtimes do not know the spec's own field
        document["linux"]["sysctl"].setdefault("kernel.domainname", config["Domainname"])
    if not privileged and not security.systempaths_unconfined:
        document["linux"].update(_hidden_paths(host))
    profile = security.seccomp_for(parts, host, privileged=privileged)
    if profile is not None:
        from pycontainerd.core import spec_seccomp

        document["linux"]["seccomp"] = spec_seccomp.resolve(
            profile or spec_seccomp.default_profile(),
            architecture=host.architecture,
            capabilities=capabilities,
            kernel=host.kernel,
        )
    return document


class Security:
    """``--security-opt`` taken apart."""

    __slots__ = ("apparmor", "no_new_privileges", "seccomp", "systempaths_unconfined")

    def __init__(self, options: Sequence[str]) -> None:
        self.apparmor = self.seccomp = ""
        self.no_new_privileges = self.systempaths_unconfined = False
        for option in options:
            key, equals, value = option.partition("=")
            if not equals:
                key, _, value = option.partition(":")
            if key == "no-new-privileges":
                self.no_new_privileges = value in ("", "true")
            elif key in ("apparmor", "seccomp") and value:
                setattr(self, key, value)
            elif key == "systempaths" and value == "unconfined":
                self.systempaths_unconfined = True
            elif key != "label" and option not in ("writable-cgroups=false",):
                hint = "there are no-new-privileges, seccomp=, apparmor=, label= and systempaths=unconfined"
                raise InvalidArgument("--security-opt", option, hint)

    def seccomp_for(self, parts: Parts, host: Host, *, privileged: bool) -> Json | None:
        """The profile's document; an empty one stands for the default, None for no filter at all."""
        if self.seccomp in ("", "builtin"):
            return {} if host.seccomp and not privileged else None
        if self.seccomp == _NO_SECCOMP:
            return None
        return parts.seccomp


def _process(config: Json, host_config: Json, capabilities: list[str], id: str) -> Json:
    arguments = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    if not arguments:
        raise InvalidArgument("no command specified", hint="the image has none; give one behind the image's name")
    if host_config.get("Init"):
        arguments = [INIT, "--", *arguments]
    process: Json = {
        "terminal": bool(config.get("Tty")),
        "user": user(config.get("User") or "", host_config.get("GroupAdd") or ()),
        "args": arguments,
        "env": environment(config, id),
        "cwd": config.get("WorkingDir") or "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
    }
    if not process["cwd"].startswith("/"):
        raise InvalidArgument("working directory", process["cwd"], "it must be absolute")
    if host_config.get("Ulimits"):
        process["rlimits"] = spec_resources.rlimits(host_config["Ulimits"])
    score = host_config.get("OomScoreAdj") or 0
    if not -1000 <= score <= 1000:
        raise InvalidArgument("--oom-score-adj", score, "give -1000 to 1000")
    if score:
        process["oomScoreAdj"] = score
    return process


def user(text: str, groups: Sequence[str] = ()) -> Json:
    """``process.user`` for Docker's user string; see the module's text for who resolves names."""
    uid, colon, gid = text.partition(":")
    numeric = uid.isdigit() and gid.isdigit()
    if numeric and max(int(uid), int(gid)) > 0x7FFFFFFF:
        raise InvalidArgument("user", text, "ids go up to 2147483647")
    if numeric and not groups:
        return {"uid": int(uid), "gid": int(gid), "additionalGids": [int(gid)]}
    if text.startswith(":") or (colon and not gid):
        raise InvalidArgument("user", text, "give name, uid, name:group or uid:gid")
    return {"uid": 0, "gid": 0, "username": text or "0"}


def environment(config: Json, id: str) -> list[str]:
    """The variables a container starts with: PATH, HOSTNAME, TERM on a terminal, then its own, which win."""
    own: list[str] = list(config.get("Env") or ())
    names = {item.partition("=")[0] for item in own}
    base = ["PATH=" + PATH, "HOSTNAME=" + (config.get("Hostname") or id[:12])]
    if config.get("Tty"):
        base.append("TERM=xterm")
    return [item for item in base if item.partition("=")[0] not in names] + [item for item in own if "=" in item]


def _mounts(host_config: Json, host: Host, parts: Parts) -> list[Json]:
    standard = spec_mounts.standard(
        privileged=bool(host_config.get("Privileged")),
        cgroup_v2=host.cgroup_v2,
        shm_size=host_config.get("ShmSize") or spec_mounts.SHM_SIZE,
        shm_path=parts.shm_path,
    )
    if host_config.get("IpcMode") == "none":
        standard = [mount for mount in standard if mount["destination"] != "/dev/shm"]
    read_only = "ro" if host_config.get("ReadonlyRootfs") else "rw"
    own = [
        {"destination": target, "type": "bind", "source": source, "options": ["rbind", "rprivate", read_only]}
        for target, source in parts.files.items()
    ]
    if host_config.get("Init"):
        if not host.init:
            raise InvalidArgument("--init needs an init program on the host", hint="install tini or catatonit")
        options = ["rbind", "rprivate", "ro"]
        own.append({"destination": INIT, "type": "bind", "source": host.init, "options": options})
    return [*standard, *own]


def _annotations(host_config: Json) -> Json:
    annotations: Json = dict(host_config.get("Annotations") or {})
    groups = host_config.get("GroupAdd") or ()
    if groups:
        annotations[GROUP_ADD] = ",".join(groups)
    return annotations


def _linux(id: str, namespace: str, host_config: Json, host: Host, parts: Parts) -> Json:
    privileged = bool(host_config.get("Privileged"))
    resources = spec_resources.resources(host_config, cpus=host.cpus, swap_accounting=host.swap_accounting)
    block = spec_resources.block_devices(host_config, parts.block_numbers)
    if block:
        resources["blockIO"] = {**resources.get("blockIO", {}), **block}
    rules = host_config.get("DeviceCgroupRules") or ()
    resources["devices"] = spec_devices.cgroup_rules(parts.devices, rules, privileged=privileged)
    parent = (host_config.get("CgroupParent") or f"/pycontainerd/{namespace}").rstrip("/")
    return {
        "resources": resources,
        "cgroupsPath": f"{parent}/{id}",
        "namespaces": namespaces(host_config, host, parts.joins),
        "devices": spec_devices.nodes(parts.devices),
        "sysctl": _sysctls(host_config),
    }


_MODES = (("PidMode", "pid"), ("IpcMode", "ipc"), ("UTSMode", "uts"), ("NetworkMode", "network"))


def namespaces(host_config: Json, host: Host, joins: Mapping[str, str]) -> list[Json]:
    """``linux.namespaces``: what is the host's is left out, what is another container's has a path."""
    result: list[Json] = [{"type": "mount"}]
    for key, kind in _MODES:
        mode = host_config.get(key) or ""
        if kind in joins:
            result.append({"type": kind, "path": joins[kind]})
        elif mode != "host":
            result.append({"type": kind})
    private = host_config.get("CgroupnsMode") or ("private" if host.cgroup_v2 else "host")
    if private == "private" and not host_config.get("Privileged"):
        result.append({"type": "cgroup"})
    return result


_SYSCTLS = ("kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
            "kernel.shm_rmid_forced").split()  # fmt: skip


def _sysctls(host_config: Json) -> Json:
    host_network = host_config.get("NetworkMode") == "host"
    result: Json = {}
    if not host_network and not str(host_config.get("NetworkMode") or "").startswith("container:"):
        result = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    for name, value in (host_config.get("Sysctls") or {}).items():
        if name.startswith("net."):
            if host_network:
                raise InvalidArgument("--sysctl", name, "it would change the host's network")
        elif name not in _SYSCTLS and not name.startswith("fs.mqueue."):
            raise InvalidArgument(
                "--sysctl", name, "only net.*, fs.mqueue.* and System V settings belong to a container"
            )
        result[name] = value
    return result


def _hidden_paths(host: Host) -> Json:
    masked = list(spec_mounts.MASKED)
    if host.thermal_throttle:  # a side channel between tenants
        masked += [f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(host.cpus)]
    return {"maskedPaths": masked, "readonlyPaths": list(spec_mounts.READ_ONLY)}


def exec_process(process: Json, arguments: Sequence[str], options: Json) -> Json:
    """The ``process`` of an exec in a container whose own is ``process``.

    ``options`` keys, Docker's: ``Env`` (added), ``User``, ``WorkingDir``, ``Tty``, ``Privileged``; with the last, all
    capabilities in ``Capabilities`` are granted.
    """
    result: Json = dict(process)
    result["args"], result["terminal"] = list(arguments), bool(options.get("Tty"))
    given: list[str] = options.get("Env") or []
    if options.get("Tty"):
        given = ["TERM=xterm", *given] if not any(item.startswith("TERM=") for item in given) else given
    names = {item.partition("=")[0] for item in given}
    kept = [item for item in process.get("env") or () if item.partition("=")[0] not in names]
    result["env"] = kept + [item for item in given if "=" in item]
    if options.get("WorkingDir"):
        result["cwd"] = options["WorkingDir"]
    if options.get("User"):
        result["user"] = user(options["User"])
        result["env"] = [item for item in result["env"] if not item.startswith("HOME=") or item in given]
    if options.get("Privileged"):
        every = list(options.get("Capabilities") or spec_capabilities.ALL)
        result["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), every)
        result.pop("apparmorProfile", None)
    result.pop("consoleSize", None)
    return result
