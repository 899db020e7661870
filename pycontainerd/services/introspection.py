"""containerd.services.introspection.v1: what is loaded, who we are, what a runtime can do; needs no namespace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.rpc.status_pb2 import Status

from pycontainerd.api.introspection.v1 import introspection_pb2 as pb
from pycontainerd.api.types.introspection_pb2 import RuntimeInfo, RuntimeRequest
from pycontainerd.api.types.platform_pb2 import Platform as PlatformMessage
from pycontainerd.core import filters
from pycontainerd.core.errors import FailedPrecondition, NotFound, Unimplemented, Unknown
from pycontainerd.rpc.service import Service
from pycontainerd.services.convert import optional_any, pack, type_name
from pycontainerd.wire.codes import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from google.protobuf.empty_pb2 import Empty

    from pycontainerd.core.values import AnyValue, Platform
    from pycontainerd.rpc.call import Call

    DescribeRuntime = Callable[[str, AnyValue | None], Awaitable[RuntimeInfo]]


@dataclass(frozen=True, slots=True)
class Plugin:
    """One part of the daemon as clients see it. ``skipped`` says why it is not there, in a sentence."""

    type: str
    id: str
    requires: Sequence[str] = ()
    platforms: Sequence[Platform] = ()
    exports: Mapping[str, str] = field(default_factory=dict)
    capabilities: Sequence[str] = ()
    skipped: str = ""

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        """The adaptor that filters ask: type and id."""
        if list(path) == ["type"]:
            return self.type, True
        if list(path) == ["id"]:
            return self.id, True
        return "", False


@dataclass(frozen=True, slots=True)
class Server:
    """Who answers: ``uuid`` is kept across restarts, ``pidns`` is the inode of our pid namespace."""

    uuid: str
    pid: int
    pidns: int


class IntrospectionService(Service):
    """The Introspection service."""

    SERVICE = pb.DESCRIPTOR.services_by_name["Introspection"]

    def __init__(self, server: Server, plugins: Sequence[Plugin], describe_runtime: DescribeRuntime) -> None:
        self._server = server
        self._plugins = plugins
        # Which plugins answer PluginInfo with options, and how.
        self._describers = {("io.containerd.runtime.v2", "task"): describe_runtime}

    async def Plugins(self, request: pb.PluginsRequest, call: Call) -> pb.PluginsResponse:
        """What is loaded, and what was left out and why."""
        matches = filters.compile(tuple(request.filters))
        return pb.PluginsResponse(plugins=[_message(p) for p in self._plugins if matches(p.field)])

    async def Server(self, request: Empty, call: Call) -> pb.ServerResponse:
        """Identity of this daemon."""
        return pb.ServerResponse(uuid=self._server.uuid, pid=self._server.pid, pidns=self._server.pidns)

    async def PluginInfo(self, request: pb.PluginInfoRequest, call: Call) -> pb.PluginInfoResponse:
        """One plugin; with options, what that plugin tells about them (a runtime: its version and features)."""
        plugin = self._find(request.type, request.id)
        response = pb.PluginInfoResponse(plugin=_message(plugin))
        if not request.HasField("options"):
            return response
        if plugin.skipped:
            raise FailedPrecondition("plugin", f"{plugin.type}.{plugin.id}", plugin.skipped)
        describe = self._describers.get((plugin.type, plugin.id))
        if describe is None:
            raise Unimplemented("plugin", f"{plugin.type}.{plugin.id}", "offers no info on options")
        wanted = _runtime_request(request)
        response.extra.CopyFrom(pack(await describe(wanted.runtime_path, optional_any(wanted, "options"))))
        return response

    def _find(self, type: str, id: str) -> Plugin:
        for plugin in self._plugins:
            if (plugin.type, plugin.id) == (type, id):
                return plugin
        raise NotFound("plugin", f"{type}.{id}")


def _runtime_request(request: pb.PluginInfoRequest) -> RuntimeRequest:
    name = type_name(request.options)
    if name != RuntimeRequest.DESCRIPTOR.full_name:
        raise Unknown("options of type", name, f"want {RuntimeRequest.DESCRIPTOR.full_name}")
    return RuntimeRequest.FromString(request.options.value)


def _message(plugin: Plugin) -> pb.Plugin:
    message = pb.Plugin(
        type=plugin.type,
        id=plugin.id,
        requires=plugin.requires,
        platforms=[PlatformMessage(os=p.os, architecture=p.architecture, variant=p.variant) for p in plugin.platforms],
        exports=plugin.exports,
        capabilities=plugin.capabilities,
    )
    if plugin.skipped:
        message.init_err.CopyFrom(Status(code=UNKNOWN, message=f"{plugin.skipped}: skip plugin"))
    return message
