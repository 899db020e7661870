"""Mounts as people write them: ``-v``, ``--mount``, ``--tmpfs`` and ``--volumes-from`` in all of Docker's forms.

Strings become Docker's ``HostConfig`` (``Binds``, ``Mounts``, ``Tmpfs``, ``VolumesFrom``) and ``Config.Volumes``, which
are kept for inspection, and ``entries`` makes of those what the daemon works from (``core.mountentries``). Messages are
Docker's where it has one.

Pure and light, because ``pyctr run`` stands on it; what exists on the host is other people's question.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument
from pycontainerd.core.mountentries import (
    BIND,
    IMAGE,
    PROPAGATIONS,
    TMPFS,
    VOLUME,
    check_target,
    check_volume_name,
    clean_path,
    entry_of_mount,
    entry_of_tmpfs,
    refuse_duplicates,
)
from pycontainerd.core.units import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Json = dict[str, Any]

_ACCESS = ("rw", "ro")
_LABELS = ("z", "Z")
_CONSISTENCY = ("consistent", "cached", "delegated", "default")
_RECURSIVE = ("enabled", "disabled", "writable", "readonly")
_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


# -- -v and --volume --


def parse_volume(text: str) -> Json:
    """``[source:]target[:options]`` as an entry. Raises InvalidArgument in Docker's words."""
    try:
        return _parse_volume(text)
    except InvalidArgument as error:
        if "volume specification" in error.what:
            raise
        raise InvalidArgument(
            f"invalid volume specification: '{text}': {error.what}", error.which, error.hint
        ) from error


def _parse_volume(text: str) -> Json:
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidArgument(f"invalid volume specification: '{text}'", hint="give source:target or source:target:ro")
    options = parts.pop().split(",") if len(parts) == 3 else []
    if len(parts) == 2 and not options and _is_mode(parts[1]):
        hint = "options need a source and a target before them"
        raise InvalidArgument(f"invalid volume specification: '{text}'", hint=hint)
    target = check_target(parts[-1])
    if len(parts) == 1:
        return {"type": VOLUME, "target": target, "volume": "", "anonymous": True}
    entry: Json = {"type": BIND, "source": parts[0], "target": target, "create": True}
    if not parts[0].startswith("/"):
        entry = {"type": VOLUME, "volume": check_volume_name(parts[0]), "target": target}
    else:
        entry["source"] = clean_path(parts[0])
    _apply_mode(entry, options)
    if options:
        entry["mode"] = ",".join(options)
    return entry


def _is_mode(text: str) -> bool:
    known = (*_ACCESS, *_LABELS, *_CONSISTENCY, *PROPAGATIONS, "nocopy")
    return all(word in known for word in text.split(","))


def _apply_mode(entry: Json, options: Sequence[str]) -> None:
    groups: set[Sequence[str]] = set()
    for option in options:
        group = next((each for each in (_ACCESS, _LABELS, _CONSISTENCY, PROPAGATIONS) if option in each), None)
        if option == "nocopy" and entry["type"] == VOLUME:
            entry["nocopy"] = True
        elif group is None or group in groups or (group is PROPAGATIONS and entry["type"] != BIND):
            hint = "there are ro, rw, z, Z, nocopy for a volume, and shared, rshared, slave, … for a path of the host"
            raise InvalidArgument(f"invalid mode: {','.join(options)}", hint=hint)
        else:
            groups.add(group)
        if option == "ro":
            entry["readonly"] = True
        elif option in PROPAGATIONS:
            entry["propagation"] = option


def split_volumes(texts: Iterable[str]) -> tuple[list[str], Json]:
    """The values of ``-v`` as ``HostConfig.Binds`` and ``Config.Volumes``. Raises InvalidArgument."""
    binds: list[str] = []
    volumes: Json = {}
    for text in texts:
        entry = parse_volume(text)
        if entry.get("anonymous"):
            volumes[entry["target"]] = {}
        else:
            binds.append(text)
    return binds, volumes


# -- --mount --

_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_FLAGS = ("readonly", "volume-nocopy", "bind-nonrecursive")
_KEYS = {
    BIND: ("bind-propagation", "bind-nonrecursive", "bind-recursive", "bind-create-src"),
    VOLUME: ("volume-nocopy", "volume-label", "volume-driver", "volume-opt", "volume-subpath"),
    TMPFS: ("tmpfs-size", "tmpfs-mode"),
    IMAGE: ("image-subpath",),
}


def parse_mount(text: str) -> Json:
    """``type=volume,source=data,target=/data,…`` as an entry of ``HostConfig.Mounts``. Raises InvalidArgument."""
    values = _fields(text)
    kind = (values.pop("type", None) or [VOLUME])[-1].lower()
    if kind not in _KEYS:
        raise InvalidArgument(f"invalid mount type '{kind}'", hint="there are bind, volume, tmpfs and image")
    mount: Json = {"Type": kind, "Target": (values.pop("target", None) or [""])[-1]}
    if not mount["Target"]:
        raise InvalidArgument("target is required", hint=f"add target=/path to {text}")
    source = (values.pop("source", None) or [""])[-1]
    if source:
        mount["Source"] = source
    if _truth("readonly", values.pop("readonly", ())):
        mount["ReadOnly"] = True
    values.pop("consistency", None)
    _refuse_mixed(kind, values)
    options = _OPTIONS[kind](values)
    if options:
        mount[kind.capitalize() + "Options"] = options
    entry_of_mount(mount)
    return mount


def _fields(text: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for field in _comma_separated(text):
        key, equals, value = field.partition("=")
        key = _ALIASES.get(key.strip().lower(), key.strip().lower())
        known = key in ("type", "source", "target", "readonly", "consistency") or any(key in k for k in _KEYS.values())
        if not equals and key not in _FLAGS:
            raise InvalidArgument(f"invalid field '{field}' must be a key=value pair")
        if not known:
            raise InvalidArgument(f"unexpected key '{key}' in '{field}'")
        values.setdefault(key, []).append(value if equals else "true")
    return values


def _comma_separated(text: str) -> list[str]:
    """Fields of a CSV line: one that holds a comma is put in double quotes, as is one that holds those."""
    fields: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            field, rest = _quoted(rest, text)
        else:
            field, comma, rest = rest.partition(",")
            rest = comma + rest
        fields.append(field)
        if not rest:
            return fields
        rest = rest[1:]


def _quoted(rest: str, text: str) -> tuple[str, str]:
    parts: list[str] = []
    at = 1
    while True:
        end = rest.find('"', at)
        if end < 0:
            raise InvalidArgument("--mount", text, "a double quote is opened and never closed")
        parts.append(rest[at:end])
        if rest[end + 1 : end + 2] != '"':
            break
        parts.append('"')
        at = end + 2
    left = rest[end + 1 :]
    if left and left[0] != ",":
        raise InvalidArgument("--mount", text, "only a comma may follow a closing double quote")
    return "".join(parts), left


def _truth(key: str, given: Sequence[str]) -> bool:
    if not given:
        return False
    value = given[-1]
    if value not in (*_TRUE, *_FALSE):
        raise InvalidArgument(f"invalid value for {key}: {value}", hint="give true or false")
    return value in _TRUE


def _refuse_mixed(kind: str, values: dict[str, list[str]]) -> None:
    for other, keys in _KEYS.items():
        if other != kind and any(key in values for key in keys):
            raise InvalidArgument(f"cannot mix '{other}-*' options with mount type '{kind}'")


def _bind_options(values: dict[str, list[str]]) -> Json:
    result: Json = {}
    if "bind-propagation" in values:
        result["Propagation"] = values["bind-propagation"][-1].lower()
    recursive = (values.get("bind-recursive") or ["enabled"])[-1]
    if recursive not in (*_RECURSIVE, *_TRUE, *_FALSE):
        raise InvalidArgument(
            f"invalid value for bind-recursive: {recursive}", hint="it is enabled, disabled, writable or readonly"
        )
    if recursive in ("disabled", *_FALSE) or _truth("bind-nonrecursive", values.get("bind-nonrecursive", ())):
        result["NonRecursive"] = True
    elif recursive == "writable":
        result["ReadOnlyNonRecursive"] = True
    elif recursive == "readonly":
        result["ReadOnlyForceRecursive"] = True
    if _truth("bind-create-src", values.get("bind-create-src", ())):
        result["CreateMountpoint"] = True
    return result


def _volume_options(values: dict[str, list[str]]) -> Json:
    result: Json = {}
    if _truth("volume-nocopy", values.get("volume-nocopy", ())):
        result["NoCopy"] = True
    if "volume-label" in values:
        result["Labels"] = dict(_pair(text) for text in values["volume-label"])
    if "volume-driver" in values or "volume-opt" in values:
        result["DriverConfig"] = {"Name": (values.get("volume-driver") or [""])[-1]}
        if "volume-opt" in values:
            result["DriverConfig"]["Options"] = dict(_pair(text) for text in values["volume-opt"])
    if "volume-subpath" in values:
        result["Subpath"] = values["volume-subpath"][-1]
    return result


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _tmpfs_options(values: dict[str, list[str]]) -> Json:
    result: Json = {}
    if "tmpfs-size" in values:
        result["SizeBytes"] = parse_bytes(values["tmpfs-size"][-1])
    if "tmpfs-mode" in values:
        try:
            result["Mode"] = int(values["tmpfs-mode"][-1], 8)
        except ValueError as error:
            text = values["tmpfs-mode"][-1]
            raise InvalidArgument(f"invalid value for tmpfs-mode: {text}", hint="give it in octal: 1777") from error
    return result


def _image_options(values: dict[str, list[str]]) -> Json:
    return {"Subpath": values["image-subpath"][-1]} if "image-subpath" in values else {}


_OPTIONS: dict[str, Callable[[dict[str, list[str]]], Json]] = {
    BIND: _bind_options,
    VOLUME: _volume_options,
    TMPFS: _tmpfs_options,
    IMAGE: _image_options,
}


def parse_tmpfs(text: str) -> tuple[str, str]:
    """``/run:size=64m,mode=755`` as target and options of ``HostConfig.Tmpfs``. Raises InvalidArgument."""
    target, _, options = text.partition(":")
    entry_of_tmpfs(target, options)
    return target, options


def parse_volumes_from(text: str) -> tuple[str, str]:
    """``container[:ro|rw|z|Z]`` as container and access, "" to keep each mount's own. Raises InvalidArgument."""
    container, colon, mode = text.partition(":")
    if not container:
        raise InvalidArgument("volumes-from specification cannot be an empty string")
    words = mode.split(",") if colon else []
    if any(word not in (*_ACCESS, *_LABELS) for word in words) or sum(word in _ACCESS for word in words) > 1:
        raise InvalidArgument(f"invalid mode: {mode}", hint="there are ro, rw, z and Z")
    return container, next((word for word in words if word in _ACCESS), "")


def entries(config: Json, host_config: Json, inherited: Iterable[Json] = ()) -> list[Json]:
    """All entries of a container; what comes later replaces what was inherited at the same target.

    Raises InvalidArgument when two mounts that were asked for explicitly have one target.
    """
    explicit = [
        *map(parse_volume, host_config.get("Binds") or ()),
        *map(entry_of_mount, host_config.get("Mounts") or ()),
        *(entry_of_tmpfs(target, options) for target, options in (host_config.get("Tmpfs") or {}).items()),
    ]
    refuse_duplicates(explicit)
    found: dict[str, Json] = {entry["target"]: entry for entry in explicit}
    for entry in inherited:
        found.setdefault(entry["target"], entry)
    for path in config.get("Volumes") or {}:
        target = check_target(path)
        found.setdefault(target, {"type": VOLUME, "target": target, "volume": "", "anonymous": True})
    for entry in found.values():
        if entry.get("anonymous") and host_config.get("AutoRemove"):
            entry["remove"] = True
        if entry["type"] == VOLUME and host_config.get("VolumeDriver"):
            entry.setdefault("driver", host_config["VolumeDriver"])
    return list(found.values())
