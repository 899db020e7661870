"""The directory a container has beside its snapshot: hostname, hosts, resolv.conf, and its logs.

It lies under the daemon's root, which the daemon tells; the files are made anew at each start, so nothing in them has
to survive a power cut.
"""

from __future__ import annotations

import os

from pycontainerd.core.errors import Unavailable
from pycontainerd.core.logdrivers import file_name
from pycontainerd.wire.messages import introspection as messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycontainerd.client.daemon import Daemon

    Json = dict[str, Any]

SERVICE = "containerd.services.introspection.v1.Introspection"
_LOOPBACK = ("127.", "::1")
_FALLBACK = ("8.8.8.8", "8.8.4.4")
"""Name servers for a container whose host has only a local one, which a network namespace cuts off; Docker's choice."""


def root_of(daemon: Daemon) -> str:
    """The daemon's root directory, as its metadata plugin tells it. Raises Unavailable."""
    request = messages.PluginsRequest(filters=["type==io.containerd.metadata.v1"])
    for plugin in daemon.call(SERVICE, "Plugins", request, messages.PluginsResponse).plugins:
        path = plugin.exports.get("path")
        if path:
            return os.path.dirname(path)
    raise Unavailable("the daemon does not tell where its root directory is", hint="is this a pycontainerd daemon?")


def directory(root: str, namespace: str, id: str) -> str:
    """Where a container's files and logs are."""
    return f"{root}/containers/{namespace}/{id}"


def log_path(root: str, namespace: str, id: str, driver: str) -> str:
    """The file its log driver writes, "" for one that writes none; rotated files are beside it."""
    name = file_name(driver, id)
    return f"{directory(root, namespace, id)}/{name}" if name else ""


def write(path: str, config: Json, host_config: Json, id: str) -> dict[str, str]:
    """Make the files below ``path``; return them by their place in the container."""
    os.makedirs(path, mode=0o710, exist_ok=True)
    hostname = config.get("Hostname") or id[:12]
    contents = {
        "hostname": hostname + "\n",
        "hosts": _hosts(hostname, host_config),
        "resolv.conf": _resolv_conf(host_config),
    }
    for name, text in contents.items():
        _put(f"{path}/{name}", text)
    return {f"/etc/{name}": f"{path}/{name}" for name in contents}


def existing(path: str) -> dict[str, str]:
    """What ``write`` made below ``path``, by place in the container; empty when it did not."""
    found = {f"/etc/{name}": f"{path}/{name}" for name in ("hostname", "hosts", "resolv.conf")}
    return found if all(map(os.path.exists, found.values())) else {}


def _put(path: str, text: str) -> None:
    # In place, not by rename: a running container has this very file mounted.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _hosts(hostname: str, host_config: Json) -> str:
    if host_config.get("NetworkMode") == "host":
        lines = [_read("/etc/hosts").rstrip("\n")]
    else:
        lines = [
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::0\tip6-localnet",
            "ff00::0\tip6-mcastprefix",
            "ff02::1\tip6-allnodes",
            "ff02::2\tip6-allrouters",
        ]
        if host_config.get("NetworkMode") == "none":
            lines.append(f"127.0.1.1\t{hostname}")
    for entry in host_config.get("ExtraHosts") or ():
        name, _, address = entry.partition(":")
        lines.append(f"{address}\t{name}")
    return "\n".join(lines) + "\n"


def _resolv_conf(host_config: Json) -> str:
    host = [line.split() for line in _read("/etc/resolv.conf").splitlines() if line and line[0] not in "#;"]
    servers = host_config.get("Dns") or [line[1] for line in host if line[0] == "nameserver" and len(line) > 1]
    if host_config.get("NetworkMode") != "host" and not host_config.get("Dns"):
        servers = [server for server in servers if not server.startswith(_LOOPBACK)] or list(_FALLBACK)
    search = host_config.get("DnsSearch") or next((line[1:] for line in host if line[0] in ("search", "domain")), [])
    options = host_config.get("DnsOptions") or next((line[1:] for line in host if line[0] == "options"), [])
    lines = [f"nameserver {server}" for server in servers]
    if search and search != ["."]:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def remove(path: str) -> None:
    """Delete a container's directory with all that is in it; one that is gone is fine."""
    try:
        entries = os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        try:
            os.unlink(f"{path}/{entry}")
        except IsADirectoryError:
            remove(f"{path}/{entry}")
        except FileNotFoundError:
            pass
    os.rmdir(path)
