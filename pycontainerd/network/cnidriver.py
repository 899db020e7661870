"""Networks made by installed CNI plugins: ``network create -d cni -o conf=NAME``.

The configuration list (``/etc/cni/net.d``) decides on interfaces, addresses and routes; what it decided is learned from
its answer. Published ports are passed on as the capability ``portMappings``; plugins without it publish nothing.

    conf   the name of a list, or /path of its file; the network's own name when absent
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import structlog

from pycontainerd.core import cni
from pycontainerd.core.cni import Attachment, ConfigList
from pycontainerd.core.errors import InvalidArgument, NotFound, PycontainerdError
from pycontainerd.linux import fds
from pycontainerd.network.cni import CONFIG_DIRECTORIES, PLUGIN_DIRECTORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycontainerd.core.network import Endpoint, Network, Op, Sandbox
    from pycontainerd.network.client import AgentClient

_LIMIT = 1 << 20
_log = structlog.get_logger("network")


def load(name: str, directories: Sequence[str] = CONFIG_DIRECTORIES) -> ConfigList:
    """A configuration list by its name or path. Raises NotFound naming what there is, InvalidArgument."""
    if name.startswith("/"):
        return _load_file(name)
    there = []
    for directory in directories:
        for entry in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            if not entry.endswith((".conflist", ".conf", ".json")):
                continue
            try:
                found = _load_file(f"{directory}/{entry}")
            except PycontainerdError:
                continue
            if found.name == name:
                return found
            there.append(found.name)
    known = f"there are {', '.join(there)}" if there else f"there is none in {', '.join(directories)}"
    raise NotFound("CNI configuration", name, f"{known}; choose one with -o conf=NAME or a path")


def _load_file(path: str) -> ConfigList:
    try:
        return cni.parse_config(fds.read_file(path, _LIMIT).decode("utf-8", "replace"), path)
    except OSError as error:
        raise NotFound("CNI configuration", path, error.strerror or "unreadable") from None


class CniDriver:
    """A driver whose endpoints plugins make. Told of sandboxes too: after a start of the daemon it has plugins take
    back what they made for containers that have ended meanwhile."""

    name = "cni"
    needs_subnets = False

    def __init__(
        self,
        agent: AgentClient,
        cache: str,
        sandbox: Callable[[str, str], Sandbox | None],
        config_directories: Sequence[str] = CONFIG_DIRECTORIES,
        plugin_directories: Sequence[str] = PLUGIN_DIRECTORIES,
    ) -> None:
        self._agent, self._cache, self._sandbox = agent, cache, sandbox
        self._configs, self._plugins = tuple(config_directories), list(plugin_directories)

    def validate(self, network: Network) -> None:
        """Raises InvalidArgument, NotFound."""
        for key in network.options:
            if key != "conf":
                raise InvalidArgument("network option", key, "the cni driver knows conf; all else is in its file")
        if network.subnets or network.internal:
            what = "--subnet" if network.subnets else "--internal"
            raise InvalidArgument("cni network", network.name, f"its configuration decides; leave {what} out")
        self._load(network)

    def _load(self, network: Network) -> ConfigList:
        return load(network.options.get("conf") or network.name, self._configs)

    def complete(self, network: Network) -> Network:
        """As it is."""
        return network

    def link(self, network: Network) -> str:
        """None that we look after."""
        return ""

    def network_up(self, network: Network) -> Sequence[Op]:
        """Nothing: plugins make what they need with the first endpoint."""
        return ()

    def network_down(self, network: Network) -> Sequence[Op]:
        """Nothing: plugins leave their bridges, as CNI has it."""
        return ()

    def endpoint_up(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """ADD. Raises NotFound, InvalidArgument for a configuration that is gone or bad by now."""
        sandbox = self._sandbox(endpoint.namespace, endpoint.container)
        ports = [] if sandbox is None else [_mapping(port) for port in sandbox.request.ports]
        capabilities = {"portMappings": ports, "mac": endpoint.mac}
        listed = self._load(network).to_json()
        return [{**self._op("cni.add", endpoint, netns, capabilities), "list": listed, "endpoint": endpoint.id}]

    def endpoint_down(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """DEL, with the configuration that ADD had."""
        return [self._op("cni.del", endpoint, netns)]

    def endpoint_end(self, network: Network, endpoint: Endpoint, netns: str) -> Sequence[Op]:
        """DEL too: plugins have more to take back than the namespace takes along."""
        return [self._op("cni.del", endpoint, netns)]

    def check(self, endpoint: Endpoint, netns: str) -> None:
        """Have the plugins check an endpoint. Raises AgentError saying what is wrong."""
        self._agent.run(self._op("cni.check", endpoint, netns))

    def _op(self, name: str, endpoint: Endpoint, netns: str, capabilities: Mapping[str, Any] | None = None) -> Op:
        attachment = Attachment(_container(endpoint), netns, endpoint.interface, capabilities or {})
        return {"op": name, "attachment": asdict(attachment), "plugins": self._plugins, "cache": self._cache}

    # Told of sandboxes

    def sandbox_up(self, sandbox: Sandbox) -> None:
        """Nothing."""

    def sandbox_down(self, sandbox: Sandbox) -> None:
        """Nothing."""

    def recovered(self, sandboxes: Sequence[Sandbox]) -> None:
        """Have the plugins take back what they made for others than these."""
        if not os.path.isdir(self._cache) or not os.listdir(self._cache):
            return
        keep = [[_container(endpoint), endpoint.interface] for box in sandboxes for endpoint in box.endpoints]
        op: Op = {"op": "cni.sweep", "plugins": self._plugins, "cache": self._cache, "keep": keep}
        try:
            (failed,) = self._agent.run(op)
        except PycontainerdError as error:
            failed = [str(error)]
        for text in failed:
            _log.warning("left-over of a CNI network is not removed", error=text)


def _container(endpoint: Endpoint) -> str:
    """What plugins know a container by: unique over namespaces."""
    return f"{endpoint.namespace}.{endpoint.container}"


def _mapping(port: Any) -> dict[str, Any]:
    """A published port as the capability has it. Raises InvalidArgument for what it cannot say."""
    if not port.host_port or port.host_port_end > port.host_port:
        raise InvalidArgument(
            "published port", f"{port.container_port}/{port.proto}", "a CNI network needs one host port named"
        )
    found = {"hostPort": port.host_port, "containerPort": port.container_port, "protocol": port.proto}
    return {**found, "hostIP": port.host_ip} if port.host_ip else found
