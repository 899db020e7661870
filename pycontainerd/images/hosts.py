"""Where a registry is reached: the certs.d directory with hosts.toml files, and the rules when there is none.

The file format is containerd's (docs/hosts.md there): ``server`` is the registry itself, ``[host."<url>"]`` tables are
mirrors asked before it in the order they stand, each with capabilities, CA files, client certificates and headers. A
directory with bare ``*.crt``, ``*.cert`` and ``*.key`` files is read as Docker reads it.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pycontainerd.core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

PULL, RESOLVE, PUSH = "pull", "resolve", "push"
_ALL = frozenset({PULL, RESOLVE, PUSH})
_MAX_FILE = 1 << 20
_KEYS = {"capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server: ``base`` is its API root (``https://host/v2``), ``mirror_of`` the registry that it stands in for."""

    base: str
    capabilities: frozenset[str] = _ALL
    headers: Mapping[str, str] = field(default_factory=dict)
    ca: tuple[str, ...] = ()
    client: tuple[tuple[str, str], ...] = ()
    skip_verify: bool = False
    dial_timeout: float = 30.0
    mirror_of: str = ""

    @property
    def host(self) -> str:
        """Host and port, as credentials are asked for."""
        return urlsplit(self.base).netloc


def endpoints(registry: str, host_dir: str = "", default_scheme: str = "") -> list[Endpoint]:
    """Whom to ask for images of ``registry`` (a reference's domain), mirrors first.

    Raises InvalidArgument for a file that does not parse, naming it.
    """
    default = _default(registry, default_scheme)
    for directory in _directories(host_dir, registry) if host_dir else ():
        path = os.path.join(directory, "hosts.toml")
        if os.path.isfile(path):
            return _from_file(path, registry, default)
        if os.path.isdir(directory):
            return [_with_docker_certificates(default, directory)]
    return [default]


def _default(registry: str, scheme: str) -> Endpoint:
    host = "registry-1.docker.io" if registry == "docker.io" else registry
    return Endpoint(f"{scheme or default_scheme(host)}://{host}/v2")


def default_scheme(host: str) -> str:
    """``http`` for this machine's own loopback (unless port 443 is asked for), else ``https``."""
    name, port = _split_port(host)
    return "http" if is_loopback(name) and port != "443" else "https"


def is_loopback(name: str) -> bool:
    """Whether a host name or address means this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _split_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdigit() else (host, "")


def _directories(host_dir: str, registry: str) -> list[str]:
    """Where a registry's file may be, as containerd and Docker name the directories."""
    name, port = _split_port(registry)
    candidates = [registry]
    if port:
        candidates = [f"{name}_{port}_", registry, name]
    safe = [each for each in candidates if "/" not in each and each not in {"", ".", ".."}]
    return [os.path.join(host_dir, each) for each in (*safe, "_default")]


def _from_file(path: str, registry: str, default: Endpoint) -> list[Endpoint]:
    try:
        with open(path, "rb") as file:
            document = tomllib.loads(file.read(_MAX_FILE).decode())
    except (OSError, ValueError) as error:
        raise InvalidArgument("registry configuration", path, str(error)) from error
    directory = os.path.dirname(path)
    hosts = document.pop("host", {})
    server = document.pop("server", "")
    if not isinstance(hosts, dict) or not isinstance(server, str):
        raise InvalidArgument("registry configuration", path, 'want server = "url" and [host."url"] tables')
    found = [_host(url, table, path, directory, registry) for url, table in hosts.items()]
    base = replace(default, base=_url(server, document.get("override_path"), path)) if server else default
    found.append(_apply(base, document, path, directory))
    return found


def _host(url: str, table: object, path: str, directory: str, registry: str) -> Endpoint:
    if not isinstance(table, dict):
        raise InvalidArgument("registry configuration", path, f"host {url} is no table")
    return _apply(Endpoint(_url(url, table.get("override_path"), path), mirror_of=registry), table, path, directory)


def _url(url: str, override: object, path: str) -> str:
    if "://" not in url:
        url = f"{default_scheme(url.partition('/')[0])}://{url}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InvalidArgument("registry configuration", path, f"{url} is no http or https URL")
    base = url.rstrip("/")
    return base if override is True or base.endswith("/v2") else base + "/v2"


def _apply(endpoint: Endpoint, table: Mapping[str, Any], path: str, directory: str) -> Endpoint:
    """An endpoint with a table's settings. Raises InvalidArgument naming the key that is wrong."""
    for key in table:
        if key not in _KEYS:
            raise InvalidArgument("registry configuration", path, f"unknown key {key}")
    try:
        capabilities = frozenset(map(str, table["capabilities"])) if "capabilities" in table else _ALL
        if not capabilities <= _ALL:
            raise InvalidArgument("registry configuration", path, f"unknown capability in {sorted(capabilities)}")
        return replace(
            endpoint,
            capabilities=capabilities,
            ca=tuple(_path(each, directory) for each in _list(table.get("ca", []))),
            client=tuple(_pair(each, directory) for each in _pairs(table.get("client", []))),
            skip_verify=bool(table.get("skip_verify", False)),
            headers={str(k): ", ".join(map(str, _list(v))) for k, v in dict(table.get("header", {})).items()},
            dial_timeout=_seconds(table.get("dial_timeout", endpoint.dial_timeout)),
        )
    except (TypeError, ValueError) as error:
        raise InvalidArgument("registry configuration", path, str(error)) from error


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [value]


def _pairs(value: object) -> list[object]:
    """``client`` may be one file, [cert, key], or a list of either."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value):
        return [value]
    return _list(value)


def _pair(value: object, directory: str) -> tuple[str, str]:
    parts = _list(value)
    return _path(parts[0], directory), _path(parts[1], directory) if len(parts) > 1 and parts[1] else ""


def _path(value: object, directory: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a certificate entry is no file name")
    return os.path.join(directory, value)


def _seconds(value: object) -> float:
    if isinstance(value, str):
        value = float(value.removesuffix("s")) if not value.endswith("ms") else float(value[:-2]) / 1000
    if not isinstance(value, int | float) or value <= 0:
        raise ValueError("dial_timeout is no positive number of seconds")
    return float(value)


def _with_docker_certificates(endpoint: Endpoint, directory: str) -> Endpoint:
    names = sorted(os.listdir(directory))
    pairs = [
        (os.path.join(directory, name), os.path.join(directory, name[:-5] + ".key"))
        for name in names
        if name.endswith(".cert")
    ]
    return replace(
        endpoint,
        ca=tuple(os.path.join(directory, name) for name in names if name.endswith(".crt")),
        client=tuple((cert, key if os.path.exists(key) else "") for cert, key in pairs),
    )
