"""Published ports and networks as Docker's users write them, and as the container's network extension has them.

Pure and light: the client's ``run`` stands on it. The daemon checks again (``core.network_request``).
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    Json = dict[str, Any]

EXTENSION = "io.pycontainerd.network"
TYPE_URL = "io.pycontainerd.v1/Network"
PROTOCOLS = ("tcp", "udp")
_HINT = "give [ip:][host port:]container port[/tcp|/udp], such as 8080:80"


def parse(text: str) -> list[Json]:
    """``-p`` as port requests: ``container_port``, ``host_ip``, ``host_port`` (0: any), ``host_port_end``, ``proto``.

    Raises InvalidArgument.
    """
    rest, slash, proto = text.partition("/")
    proto = proto.lower() if slash else "tcp"
    if proto not in PROTOCOLS:
        raise InvalidArgument("invalid proto", proto, "there are tcp and udp")
    head, _, container = rest.rpartition(":")
    address, _, host = head.rpartition(":")
    if not address and ":" not in head:
        host = head
    low, high = _range(container, text)
    if host in ("", "0"):
        return [_request(address, (0, 0), port, proto) for port in range(low, high + 1)]
    first, last = _range(host, text)
    if last - first == high - low:
        pairs = zip(range(low, high + 1), range(first, last + 1), strict=True)
        return [_request(address, (port, 0), inner, proto) for inner, port in pairs]
    if low != high:
        raise InvalidArgument("invalid ranges specified for container and host Ports", text, "make them as long")
    return [_request(address, (first, last), low, proto)]


def _request(address: str, host: tuple[int, int], port: int, proto: str) -> Json:
    request = {
        "host_ip": address.strip("[]"),
        "host_port": host[0],
        "host_port_end": host[1],
        "container_port": port,
        "proto": proto,
    }
    return {key: value for key, value in request.items() if value}


def _range(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = [first, last] if dash else [first, first]
    if not all(number.isdigit() and number.isascii() and 1 <= int(number) <= 65535 for number in numbers):
        raise InvalidArgument("invalid port", whole, _HINT)
    if int(numbers[0]) > int(numbers[1]):
        raise InvalidArgument("invalid port range", whole, "it ends before it starts")
    return int(numbers[0]), int(numbers[1])


def bindings(requests: Iterable[Json]) -> Json:
    """Docker's ``PortBindings`` of port requests."""
    result: Json = {}
    for request in requests:
        low, high = request.get("host_port") or 0, request.get("host_port_end") or 0
        host = f"{low}-{high}" if high else str(low or "")
        entry = {"HostIp": request.get("host_ip", ""), "HostPort": host}
        result.setdefault(f"{request['container_port']}/{request['proto']}", []).append(entry)
    return result


def requests_of(port_bindings: Mapping[str, Sequence[Json]]) -> list[Json]:
    """Port requests of Docker's ``PortBindings``. Raises InvalidArgument."""
    found: list[Json] = []
    for port, entries in port_bindings.items():
        number, _, proto = port.partition("/")
        for entry in entries or ({},):
            address = entry.get("HostIp") or ""
            address = f"[{address}]" if ":" in address else address
            found += parse(f"{address}:{entry.get('HostPort') or ''}:{number}/{proto or 'tcp'}")
    return found


def exposed(port: str) -> str:
    """``--expose`` in Docker's form, ``80/tcp``. Raises InvalidArgument."""
    number, _, proto = port.partition("/")
    _range(number, port)
    if (proto or "tcp") not in (*PROTOCOLS, "sctp"):
        raise InvalidArgument("invalid proto", proto, "there are tcp and udp")
    return f"{number}/{proto or 'tcp'}"


def parse_network(text: str) -> Json:
    """``--network NAME`` or ``--network name=NAME,alias=A,ip=…`` as an endpoint request. Raises InvalidArgument."""
    if "=" not in text:
        return {"network": text}
    result: Json = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        name = _KEYS.get(key)
        if name is None or not equals:
            raise InvalidArgument("invalid field", part, f"there are {', '.join(_KEYS)}")
        if name == "aliases":
            result.setdefault(name, []).append(value)
        else:
            result[name] = value
    if not result.get("network"):
        raise InvalidArgument("network name must be specified", text, "begin with name=NAME")
    return result


_KEYS = {"name": "network", "alias": "aliases", "ip": "ip", "ip6": "ip6", "mac-address": "mac"}


def is_bridged(mode: str) -> bool:
    """Whether a network mode means networks of the daemon's."""
    return mode not in ("host", "none") and not mode.startswith("container:")


def extension(config: Json, host_config: Json, endpoints: Sequence[Json]) -> Json | None:
    """The document of the network extension; None for a container that is on no network. Raises InvalidArgument."""
    mode = host_config.get("NetworkMode") or "default"
    if not is_bridged(mode):
        return None
    ports = requests_of(host_config.get("PortBindings") or {})
    if host_config.get("PublishAllPorts"):
        bound = {(port["container_port"], port["proto"]) for port in ports}
        for name in config.get("ExposedPorts") or ():
            ports += [one for one in parse(name) if (one["container_port"], one["proto"]) not in bound]
    joined = [{**endpoint} for endpoint in endpoints] or [{"network": mode}]
    for endpoint in joined:
        if endpoint["network"] == "default":
            endpoint["network"] = "bridge"
    document = {
        "mode": "bridge",
        "endpoints": joined,
        "ports": ports,
        "hostname": config.get("Hostname") or "",
        "domainname": config.get("Domainname") or "",
        "dns": host_config.get("Dns") or [],
        "dns_search": host_config.get("DnsSearch") or [],
        "dns_options": host_config.get("DnsOptions") or [],
        "extra_hosts": host_config.get("ExtraHosts") or [],
    }
    return {key: value for key, value in document.items() if value}
