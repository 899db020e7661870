"""Reading what users ask of networks: the container's extension, and requests to make a network. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pycontainerd.core.dnsrequest import check_dns, parse_extra_host
from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.identifiers import validate_labels
from pycontainerd.core.ipam import check_subnet, parse_address, parse_mac
from pycontainerd.core.network import (
    BRIDGE_HOST_BINDING,
    BRIDGE_ICC,
    BRIDGE_MASQUERADE,
    BRIDGE_NAME,
    DEFAULT_NETWORK,
    EXTENSION,
    MTU,
    EndpointRequest,
    PortRequest,
    SandboxRequest,
)
from pycontainerd.core.ports import check_port, repeated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycontainerd.core.containers import Container
    from pycontainerd.core.network import NetworkSpec

RESERVED = ("host", "none", "default", "container")
"""Words that mean something else where a network's name is expected."""
MAX_NAME = 128
MAX_LINK = 15
"""Longest name of an interface (IFNAMSIZ, less the NUL)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_LINK = re.compile(r"[A-Za-z0-9_.-]+\Z")
_ALIAS = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")
_KEYS = frozenset(
    {"mode", "endpoints", "ports", "hostname", "domainname", "dns", "dns_search", "dns_options", "extra_hosts"}
)


def check_network_name(name: str) -> str:
    """A name for a new network. Raises InvalidArgument."""
    if not name:
        raise InvalidArgument("network name must not be empty")
    if len(name) > MAX_NAME:
        raise InvalidArgument("network name", name[:32] + "…", f"is longer than {MAX_NAME} characters")
    if not _NAME.match(name):
        raise InvalidArgument("network name", name, "only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed")
    if name in RESERVED or name == DEFAULT_NETWORK:
        raise InvalidArgument("network name", name, "is reserved; choose another one")
    return name


def check_link_name(name: str, what: str = BRIDGE_NAME) -> str:
    """A name for an interface of the host. Raises InvalidArgument."""
    if not _LINK.match(name) or name in {".", ".."} or len(name) > MAX_LINK:
        raise InvalidArgument(what, name, f"is no interface name: up to {MAX_LINK} of [a-zA-Z0-9_.-]")
    return name


def check_spec(spec: NetworkSpec) -> NetworkSpec:
    """The request with canonical subnets. Raises InvalidArgument naming what is wrong."""
    check_network_name(spec.name)
    subnets = tuple(map(check_subnet, spec.subnets))
    for version in (4, 6):
        if sum(subnet.version == version for subnet in subnets) > 1:
            raise InvalidArgument(
                "network", spec.name, f"has two IPv{version} subnets; give one, and --ip-range for parts of it"
            )
    if any(subnet.version == 6 for subnet in subnets) and not spec.ipv6:
        spec = replace(spec, ipv6=True)
    validate_labels(spec.labels)
    return replace(spec, subnets=subnets)


def check_bridge_options(options: Mapping[str, str]) -> None:
    """The options of the bridge driver. Raises InvalidArgument."""
    for key, value in options.items():
        if key in {BRIDGE_ICC, BRIDGE_MASQUERADE}:
            if value.lower() not in {"1", "t", "true", "0", "f", "false"}:
                raise InvalidArgument("network option", key, f"want true or false, not {value!r}")
        elif key == BRIDGE_NAME:
            check_link_name(value)
        elif key == BRIDGE_HOST_BINDING:
            parse_address(value, key, 4)
        elif key == MTU:
            check_mtu(value)
        elif key.startswith("com.docker.network.") and key not in _IGNORED:
            known = ", ".join(sorted((BRIDGE_NAME, BRIDGE_ICC, BRIDGE_MASQUERADE, BRIDGE_HOST_BINDING, MTU)))
            raise InvalidArgument("network option", key, f"the bridge driver knows {known}")


_IGNORED = {"com.docker.network.bridge.default_bridge"}
"""What Docker writes into its own records and users copy from there."""


def check_mtu(text: str) -> int:
    """Raises InvalidArgument for what no interface can have."""
    if not text.isdigit() or not 68 <= int(text) <= 65535:
        raise InvalidArgument("network option", MTU, f"want 68 to 65535, not {text!r}")
    return int(text)


# The extension


def sandbox_request(container: Container) -> SandboxRequest | None:
    """What the container asks for; None when it carries no extension of ours. Raises InvalidArgument."""
    extension = container.extensions.get(EXTENSION)
    if extension is None:
        return None
    try:
        value = json.loads(extension.value)
    except ValueError as error:
        raise _bad(container.id, f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _bad(container.id, "is not a JSON object")
    try:
        return parse_request(value)
    except (TypeError, AttributeError, ValueError) as error:
        raise _bad(container.id, f"has a value of the wrong type: {error}") from None


def _bad(container: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"extension {EXTENSION} of container", container, why)


def parse_request(value: Mapping[str, Any]) -> SandboxRequest:
    """A JSON object as a request. Raises InvalidArgument, or TypeError for a value of the wrong type."""
    unknown = sorted(value.keys() - _KEYS)
    if unknown:
        raise InvalidArgument(
            f"extension {EXTENSION}: unknown key", unknown[0], f"there are {', '.join(sorted(_KEYS))}"
        )
    mode, colon, peer = _text(value, "mode").partition(":")
    mode = {"": "bridge", "default": "bridge"}.get(mode, mode)
    endpoints = tuple(_endpoint(item) for item in _items(value, "endpoints"))
    if colon and mode == "container":
        if not peer:
            raise InvalidArgument("network mode", "container:", "name a container behind the colon")
    elif mode not in {"bridge", "host", "none"} and not colon:
        mode, endpoints = "bridge", endpoints or (EndpointRequest(mode),)
    elif colon or mode == "container":
        raise InvalidArgument("network mode", value.get("mode"), "want bridge, host, none, container:ID or a network")
    if mode == "bridge" and not endpoints:
        endpoints = (EndpointRequest(DEFAULT_NETWORK),)
    request = SandboxRequest(
        mode,
        peer,
        endpoints,
        tuple(_port(item) for item in _items(value, "ports")),
        _text(value, "hostname"),
        _text(value, "domainname"),
        _texts(value, "dns"),
        _texts(value, "dns_search"),
        _texts(value, "dns_options"),
        _texts(value, "extra_hosts"),
    )
    return _consistent(request)


def _consistent(request: SandboxRequest) -> SandboxRequest:
    if request.mode != "bridge":
        if request.endpoints:
            hint = f"a container in network mode {request.mode} cannot join networks"
            raise InvalidArgument("network", request.endpoints[0].network, hint)
        if request.ports and request.mode == "container":
            raise InvalidArgument("published ports", hint="publish them on the container whose network is joined")
    check_dns(request.dns, request.dns_search, request.dns_options)
    for host in request.extra_hosts:
        parse_extra_host(host)
    names = [item.network for item in request.endpoints]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgument("network", name, "is named twice")
    double = repeated(request.ports)
    if double is not None:
        raise InvalidArgument("published port", f"{double.host_port}/{double.proto}", "is named twice")
    return request


def _endpoint(value: Mapping[str, Any]) -> EndpointRequest:
    return check_endpoint(
        EndpointRequest(
            _text(value, "network"),
            _texts(value, "aliases"),
            _text(value, "ip"),
            _text(value, "ip6"),
            _text(value, "mac"),
        )
    )


def check_endpoint(request: EndpointRequest) -> EndpointRequest:
    """The request with addresses in canonical form. Raises InvalidArgument."""
    if not request.network:
        raise InvalidArgument("network name must not be empty")
    for alias in request.aliases:
        if len(alias) > 253 or not _ALIAS.match(alias):
            raise InvalidArgument("network alias", alias[:64], "is no host name: letters, digits, '-', '_' and '.'")
    return replace(
        request,
        ip=str(parse_address(request.ip, "IPv4 address", 4)) if request.ip else "",
        ip6=str(parse_address(request.ip6, "IPv6 address", 6)) if request.ip6 else "",
        mac=parse_mac(request.mac) if request.mac else "",
    )


def _port(value: Mapping[str, Any]) -> PortRequest:
    numbers = {key: value.get(key) or 0 for key in ("container_port", "host_port", "host_port_end")}
    for key, number in numbers.items():
        if not isinstance(number, int):
            raise TypeError(f"{key} must be a number, not {number!r}")
    return check_port(
        PortRequest(host_ip=_host_ip(_text(value, "host_ip")), proto=_text(value, "proto").lower() or "tcp", **numbers)
    )


def _host_ip(text: str) -> str:
    """ "" for every address: ``0.0.0.0`` keeps its narrower meaning, as does ``::``."""
    return text.strip("[]")


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key) or ""
    if not isinstance(found, str):
        raise TypeError(f"{key} must be a string, not {found!r}")
    return found


def _items(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key) or []
    if not isinstance(found, list):
        raise TypeError(f"{key} must be a list, not {found!r}")
    return found


def _texts(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = tuple(_items(value, key))
    for item in found:
        if not isinstance(item, str):
            raise TypeError(f"{key} must be a list of strings, not {item!r}")
    return found


def to_json(request: SandboxRequest) -> str:
    """The request as the rows keep it; ``parse_request`` of it gives the same request."""
    value = asdict(request)
    peer = value.pop("peer")
    if peer:
        value["mode"] = f"container:{peer}"
    return json.dumps({key: item for key, item in value.items() if item}, separators=(",", ":"))


def from_json(text: str) -> SandboxRequest:
    """What ``to_json`` wrote."""
    return parse_request(json.loads(text))
