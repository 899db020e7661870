"""The daemon about itself: version, identity, plugins."""

from __future__ import annotations

from pycontainerd.client import images
from pycontainerd.client.files import SERVICE as INTROSPECTION
from pycontainerd.wire.messages.google import Empty
from pycontainerd.wire.messages.introspection import Plugin, PluginsRequest, PluginsResponse, ServerResponse
from pycontainerd.wire.messages.version import VersionResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.daemon import Daemon

__all__ = ["identity", "images", "plugins", "version"]

VERSION = "containerd.services.version.v1.Version"


def version(daemon: Daemon) -> tuple[str, str]:
    """Version and revision."""
    answer = daemon.call(VERSION, "Version", Empty(), VersionResponse)
    return answer.version, answer.revision


def plugins(daemon: Daemon) -> list[Plugin]:
    """What is loaded, and what is not."""
    return list(daemon.call(INTROSPECTION, "Plugins", PluginsRequest(), PluginsResponse).plugins)


def identity(daemon: Daemon) -> str:
    """The daemon's uuid, kept over restarts."""
    return daemon.call(INTROSPECTION, "Server", Empty(), ServerResponse).uuid
