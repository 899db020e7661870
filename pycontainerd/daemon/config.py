"""The configuration: frozen values composed from defaults, one TOML file and the command line, in that order.

Each component's part is a dataclass; an unknown key, a wrong type or a bad value is an error that names the key, the
file and the remedy. Nothing below the daemon reads settings from files or the environment.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from dataclasses import dataclass, field
from typing import Any

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.network import NetworkConfig
from pycontainerd.core.runtimes import RuntimeConfig  # noqa: TC001 - fields are read by their types at run time
from pycontainerd.stores.collector import Schedule

DEFAULT_PATH = "/etc/pycontainerd/config.toml"
LOG_LEVELS = ("debug", "info", "warn", "error")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """``level``: debug, info, warn or error. ``format``: json, console, or auto (console on a terminal)."""

    level: str = "info"
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class ContentConfig:
    """``sharing``: whether namespaces may use each other's blobs by digest: shared or isolated."""

    sharing: str = "shared"


@dataclass(frozen=True, slots=True)
class SnapshotsConfig:
    """``default``: the snapshotter for requests that name none. ``overlay_options``: added to every overlay mount."""

    default: str = "overlayfs"
    overlay_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImagesConfig:
    """``registry_dir``: a certs.d directory for registries. ``downloads``: blobs fetched at once for one image."""

    registry_dir: str = ""
    downloads: int = 3


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """``address``: host:port of the Prometheus endpoint, on loopback unless told otherwise; empty for none."""

    address: str = ""


@dataclass(frozen=True, slots=True)
class TracingConfig:
    """Where spans go. The standard OTEL_EXPORTER_OTLP_* variables count where a field is empty.

    ``protocol``: grpc or http/protobuf. ``ratio``: the share of requests recorded without being asked for, once an
    endpoint is set. ``ring``: how many traces are kept for ``pyctr trace``.
    """

    endpoint: str = ""
    protocol: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    ratio: float = 1.0
    ring: int = 128


@dataclass(frozen=True, slots=True)
class Config:
    """Everything. ``address`` is the gRPC socket, ttrpc listens beside it at ``<address>.ttrpc``; ``group`` is the gid
    that may use both; an empty ``address`` means ``<state>/containerd.sock``."""

    root: str = "/var/lib/pycontainerd"
    state: str = "/run/pycontainerd"
    address: str = ""
    group: int = 0
    oom_score: int | None = None
    log: LogConfig = LogConfig()
    content: ContentConfig = ContentConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    gc: Schedule = field(default_factory=Schedule)
    images: ImagesConfig = ImagesConfig()
    network: NetworkConfig = field(default_factory=NetworkConfig)
    metrics: MetricsConfig = MetricsConfig()
    tracing: TracingConfig = TracingConfig()
    runtimes: dict[str, RuntimeConfig] = field(default_factory=dict)

    @property
    def socket(self) -> str:
        """The gRPC socket."""
        return self.address or f"{self.state}/containerd.sock"

    @property
    def ttrpc(self) -> str:
        """The ttrpc socket beside it."""
        return f"{self.socket}.ttrpc"


CHOICES = {
    "log.level": LOG_LEVELS,
    "log.format": ("auto", "json", "console"),
    "content.sharing": ("shared", "isolated"),
    "tracing.protocol": ("", "grpc", "http/protobuf"),
}
"""Keys whose values are words from a list."""


def load(path: str | None, overrides: dict[str, Any] | None = None) -> Config:
    """The configuration from ``path`` (None: the default file if there is one) under ``overrides`` (dotted keys).

    Raises InvalidArgument for a file that cannot be read or understood.
    """
    table: dict[str, Any] = {}
    source = path or DEFAULT_PATH
    if path is not None or os.path.exists(source):
        table = _read(source)
    for key, value in (overrides or {}).items():
        _put(table, key, value)
    config = _build(Config, table, source, "")
    return _checked(config, source)


def dump(config: Config) -> str:
    """The configuration as TOML that ``load`` understands, with nothing left out that has a value."""
    import tomli_w

    return tomli_w.dumps(_plain(dataclasses.asdict(config)))


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InvalidArgument("configuration file", path, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument("configuration file", path, f"is not valid TOML: {error}") from error


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
    table[last] = value


def _build(kind: type[Any], table: dict[str, Any], source: str, prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            remedy = f"did you mean {prefix}{close[0]}?" if close else f"there are: {', '.join(known)}"
            raise InvalidArgument("configuration key", prefix + key, f"unknown in {source}; {remedy}")
        values[key] = _convert(hints[key], value, source, prefix + key)
    return kind(**values)


def _convert(hint: Any, value: Any, source: str, key: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return _convert(next(arg for arg in arguments if arg is not types.NoneType), value, source, key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        _expect(isinstance(value, dict), "a table", value, source, key)
        return _build(hint, value, source, key + ".")
    if origin is dict:
        _expect(isinstance(value, dict), "a table", value, source, key)
        return {name: _convert(arguments[1], item, source, f'{key}."{name}"') for name, item in value.items()}
    if origin is tuple:
        _expect(isinstance(value, list), "a list", value, source, key)
        return tuple(_convert(arguments[0], item, source, key) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    _expect(type(value) is hint, _WORDS.get(hint, hint.__name__), value, source, key)
    return value


_WORDS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _expect(ok: bool, wanted: str, value: Any, source: str, key: str) -> None:
    if not ok:
        raise InvalidArgument("configuration key", key, f"must be {wanted}, not {value!r}, in {source}")


def _checked(config: Config, source: str) -> Config:
    for key, words in CHOICES.items():
        section, name = key.split(".")
        value = getattr(getattr(config, section), name)
        if value not in words:
            wanted = ", ".join(word or '""' for word in words)
            raise InvalidArgument("configuration key", key, f"must be one of {wanted}, not {value!r}, in {source}")
    for key, value, low, high in (
        ("tracing.ratio", config.tracing.ratio, 0, 1),
        ("gc.share", config.gc.share, 0.0001, 0.5),
        ("images.downloads", config.images.downloads, 1, 64),
        ("tracing.ring", config.tracing.ring, 0, 100000),
        ("oom_score", config.oom_score or 0, -1000, 1000),
    ):
        if not low <= value <= high:
            raise InvalidArgument("configuration key", key, f"must lie between {low} and {high}, in {source}")
    absolute = {
        name: os.path.abspath(value)
        for name in ("root", "state", "address")
        if (value := getattr(config, name)) and not value.startswith("/")
    }
    return dataclasses.replace(config, **absolute)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
