"""Bundles: the directory that is all a running container leaves on disk, as names and values.

A bundle lies in ``<state>/io.containerd.runtime.v2.task/<namespace>/<id>`` with a work directory of the same shape
under the root, so that tools that look into containerd's bundles find here what they know. What is done to these paths
is ``pycontainerd.runtime.bundle``'s business.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

PLUGIN = "io.containerd.runtime.v2.task"
"""The directory name of the task runtime under the daemon's root and state directories."""
GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
"""Annotations whose value names the group of containers that share a shim; the first one present counts."""
MAX_SOCKET_PATH = 106
"""Longest path of a unix socket, in bytes (``sun_path`` less the final NUL and one to spare, as peers count)."""
TASK_V2 = "containerd.task.v2.Task"
TASK_V3 = "containerd.task.v3.Task"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Where a container's files are; ``work`` is empty when no persistent directory belongs to it."""

    namespace: str
    id: str
    path: str
    work: str = ""

    @property
    def config(self) -> str:
        return f"{self.path}/config.json"

    @property
    def rootfs(self) -> str:
        return f"{self.path}/rootfs"

    @property
    def log(self) -> str:
        """The fifo through which the shim's own messages come."""
        return f"{self.path}/log"

    @property
    def bootstrap(self) -> str:
        return f"{self.path}/bootstrap.json"

    @property
    def address(self) -> str:
        """The plain-text predecessor of ``bootstrap.json``, found in bundles that older daemons made."""
        return f"{self.path}/address"

    @property
    def shim_binary(self) -> str:
        return f"{self.path}/shim-binary-path"

    @property
    def sandbox(self) -> str:
        """Names the sandbox whose shim runs this container; absent for a shim of its own."""
        return f"{self.path}/sandbox"

    @property
    def published(self) -> str:
        """Remembers which exits subscribers were told of: a line ``<process> <pid>`` each."""
        return f"{self.path}/published"

    @property
    def exits(self) -> str:
        """Directory of the exit records that the built-in shim writes before it publishes."""
        return f"{self.path}/exits"


def bundle_of(state: str, root: str, namespace: str, id: str) -> Bundle:
    """The bundle of container ``id`` under a daemon's state and root directories."""
    return Bundle(namespace, id, f"{state}/{PLUGIN}/{namespace}/{id}", f"{root}/{PLUGIN}/{namespace}/{id}")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How to reach a shim: the task API's ``version`` (2 or 3), ``address`` and ``protocol`` (ttrpc or grpc)."""

    address: str
    version: int = 2
    protocol: str = "ttrpc"

    @property
    def service(self) -> str:
        """The full name of the task service that a shim of this version serves."""
        return TASK_V3 if self.version >= 3 else TASK_V2

    @property
    def path(self) -> str:
        """What to connect to: a file system path, or ``\\0name`` for an abstract socket."""
        scheme, separator, rest = self.address.partition("://")
        if not separator:
            return "\0" + self.address.lstrip("\0")
        if scheme == "unix" and rest:
            return rest
        raise InvalidArgument("shim address", self.address, "only unix sockets are supported")

    def to_json(self) -> str:
        """As it stands in ``bootstrap.json``."""
        return json.dumps({"version": self.version, "address": self.address, "protocol": self.protocol})


def parse_bootstrap_text(text: str) -> Bootstrap:
    """Parse JSON or a bare address (task API version 2 over ttrpc); raise InvalidArgument for what is neither.

    Shims of containerd before 2.3 answer in one of these forms, and ``bootstrap.json`` holds the first.
    """
    text = text.strip()
    if not text:
        raise InvalidArgument("shim bootstrap", hint="the shim answered nothing")
    try:
        value = json.loads(text)
    except ValueError:
        if text[0] in "{[" or any(char.isspace() or not char.isprintable() for char in text):
            raise InvalidArgument("shim bootstrap", text[:200], "is neither JSON nor an address") from None
        return Bootstrap(text)
    return _bootstrap_value(value, text)


def _bootstrap_value(value: object, text: str) -> Bootstrap:
    if not isinstance(value, dict) or not isinstance(value.get("address"), str) or not value["address"]:
        raise InvalidArgument("shim bootstrap", text[:200], "has no address")
    version, protocol = value.get("version", 2), value.get("protocol") or "ttrpc"
    if not isinstance(version, int) or not 2 <= version <= 3:
        raise InvalidArgument("shim bootstrap", text[:200], "speaks a task API version that is not 2 or 3")
    if protocol not in {"ttrpc", "grpc"}:
        raise InvalidArgument("shim bootstrap", text[:200], "speaks a protocol that is not ttrpc or grpc")
    return Bootstrap(value["address"], version, protocol)


def parse_task_address(address: str, version: int) -> Bootstrap:
    """Parse ``task_api_address`` of Tasks.Create, ``ttrpc+unix:///...``; raise InvalidArgument for other shapes."""
    protocol, plus, rest = address.partition("+")
    if not plus or protocol not in {"ttrpc", "grpc"} or "://" not in rest:
        raise InvalidArgument("task API address", address, "must look like ttrpc+unix:///path")
    return Bootstrap(rest, version or 3, protocol)


def group_of(annotations: Mapping[str, object], id: str) -> str:
    """The group a container shares its shim with: an annotation's value, else its own id."""
    for name in GROUP_ANNOTATIONS:
        value = annotations.get(name)
        if isinstance(value, str) and value:
            return value
    return id


def socket_path(directory: str, grpc_address: str, namespace: str, group: str) -> str:
    """The path a group's shim listens on: a hash of daemon, namespace and group, so that ids may be long.

    The hash is cut to 32 hex digits where the whole would not fit; raises InvalidArgument when even that does not.
    """
    name = hashlib.sha256("/".join((grpc_address.rstrip("/"), namespace, group)).encode()).hexdigest()
    for length in (64, 32):
        path = f"{directory}/{name[:length]}"
        if len(path.encode()) <= MAX_SOCKET_PATH:
            return path
    raise InvalidArgument("state directory", directory, "is too long for a socket path; choose a shorter --state")
