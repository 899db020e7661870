"""CNI, the Container Network Interface (specification 0.4.0 and 1.0.0): configurations, what a plugin is handed, what
it answers. Pure; ``pycontainerd.network.cni`` runs the plugins.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

from pycontainerd.core.errors import InvalidArgument, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    Json = dict[str, Any]

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0")
CHECK_SINCE = ("0.4.0", "1.0.0")
"""Versions with the command CHECK, and with prevResult for DEL."""
RETRY_LATER = 11
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


class CniError(Unknown):
    """Raised when a plugin failed; ``code`` is the specification's, 0 when the plugin gave none."""

    def __init__(self, plugin: str, command: str, why: str, code: int = 0) -> None:
        self.code = code
        super().__init__(f"CNI plugin {plugin} failed to {command}: {why}")


@dataclass(frozen=True, slots=True)
class ConfigList:
    """A network configuration list: plugins that are run one after the other."""

    name: str
    version: str
    plugins: tuple[Mapping[str, Any], ...]
    disable_check: bool = False

    def to_json(self) -> Json:
        """As in a ``.conflist`` file."""
        return {
            "cniVersion": self.version,
            "name": self.name,
            "disableCheck": self.disable_check,
            "plugins": [dict(plugin) for plugin in self.plugins],
        }


@dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of one container. ``capabilities`` are runtime arguments for plugins that ask for them, such as
    ``{"portMappings": [{"hostPort", "containerPort", "protocol", "hostIP"}]}``; ``arguments`` travel as CNI_ARGS."""

    container: str
    netns: str
    interface: str
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a result says of the interface inside; "" for what it does not have."""

    ip4: str = ""
    ip6: str = ""
    mac: str = ""


def parse_config(text: str, where: str) -> ConfigList:
    """Read a ``.conflist``, or a ``.conf`` with one plugin. Raises InvalidArgument saying where and what is wrong."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidArgument("CNI configuration", where, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidArgument("CNI configuration", where, "is not a JSON object")
    return read_config(value, where)


def read_config(value: Json, where: str) -> ConfigList:
    """The same from an object. Raises InvalidArgument."""
    version, name = value.get("cniVersion") or "0.3.1", value.get("name")
    plugins = value.get("plugins", [value] if "type" in value else [])
    if version not in VERSIONS:
        raise InvalidArgument("CNI configuration", where, f"cniVersion {version!r} is none of {', '.join(VERSIONS)}")
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidArgument("CNI configuration", where, f"{name!r} is no name for a network")
    if not isinstance(plugins, list) or not plugins:
        raise InvalidArgument("CNI configuration", where, "has no plugins")
    for plugin in plugins:
        kind = plugin.get("type") if isinstance(plugin, dict) else None
        if not isinstance(kind, str) or not _NAME.match(kind):
            raise InvalidArgument("CNI configuration", where, f"a plugin's type is {kind!r}; want a program's name")
    return ConfigList(name, version, tuple(plugins), value.get("disableCheck") in {True, "true"})


def plugin_input(config: ConfigList, plugin: Mapping[str, Any], attachment: Attachment, previous: Json | None) -> bytes:
    """What a plugin reads: its configuration with the list's name and version, the arguments it declares itself capable
    of, and the result of the plugin before it."""
    wanted = plugin.get("capabilities") or {}
    given = {key: value for key, value in attachment.capabilities.items() if wanted.get(key) is True and value}
    value = {key: item for key, item in plugin.items() if key != "capabilities"}
    value |= {"cniVersion": config.version, "name": config.name}
    if given:
        value["runtimeConfig"] = given
    if previous is not None:
        value["prevResult"] = previous
    return json.dumps(value).encode()


def environment(command: str, attachment: Attachment, directories: tuple[str, ...]) -> dict[str, str]:
    """The variables by which a plugin is told what to do."""
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": attachment.container,
        "CNI_NETNS": attachment.netns,
        "CNI_IFNAME": attachment.interface,
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in attachment.arguments.items()),
        "CNI_PATH": ":".join(directories),
    }


def failure(plugin: str, command: str, output: bytes, fallback: str) -> CniError:
    """The error a plugin printed; ``fallback`` when it printed none."""
    try:
        value = json.loads(output)
        details = f" ({value['details']})" if value.get("details") else ""
        return CniError(plugin, command, f"{value['msg']}{details}", int(value.get("code") or 0))
    except (ValueError, KeyError, TypeError, AttributeError):
        return CniError(plugin, command, fallback)


def read_result(output: bytes, plugin: str) -> Json:
    """A plugin's result. Raises CniError for what is none."""
    try:
        value = json.loads(output)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise CniError(plugin, "ADD", "it answered no JSON object")
    return value


def addresses_of(result: Mapping[str, Any], interface: str) -> Addresses:
    """The first address of each family of the interface inside, and its MAC. What makes no sense is left out."""
    interfaces = result.get("interfaces") or []
    inside = [number for number, item in enumerate(interfaces) if item.get("sandbox") and item.get("name") == interface]
    found = {4: "", 6: ""}
    for item in result.get("ips") or []:
        if item.get("interface") is not None and inside and item["interface"] not in inside:
            continue
        try:
            address = ip_interface(item["address"])
        except (ValueError, KeyError):
            continue
        found[address.version] = found[address.version] or str(address.ip)
    mac = next((interfaces[number].get("mac") or "" for number in inside), "")
    return Addresses(found[4], found[6], mac.lower())
