"""The mounts of a container as entries: a list of JSON objects in its extension, from which the daemon mounts.

An entry has ``type`` (bind, volume, tmpfs or image) and ``target``; further

* any: ``readonly``; ``mode``, the options of a ``-v`` as they were written, for inspection;
* bind: ``source``, a path of the host; ``create``, make a missing directory there; ``propagation``; ``recursive``
  (disabled or readonly);
* volume: ``volume``, its name, empty for a new anonymous one; ``anonymous``; ``remove``, the anonymous volume goes with
  the container; ``nocopy``; ``subpath``; ``driver``, ``options`` and ``labels`` of one that has to be made;
* tmpfs: ``options`` of the mount;
* image: ``source``, its name; ``subpath``; ``snapshotter`` and ``snapshot``, the view of it to mount.

Pure and light, because ``pyctr run`` stands on it; what exists on the host is other people's question.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Json = dict[str, Any]

EXTENSION = "io.pycontainerd.mounts"
TYPE_URL = "io.pycontainerd.v1/Mounts"
BIND, VOLUME, TMPFS, IMAGE = "bind", "volume", "tmpfs", "image"
PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def entry_of_mount(mount: Json) -> Json:
    """An entry for one of ``HostConfig.Mounts``. Raises InvalidArgument in Docker's words."""
    kind = mount.get("Type") or ""
    make = _ENTRIES.get(kind)
    if make is None:
        raise InvalidArgument(f'invalid mount config: mount type unknown: "{kind}"')
    try:
        entry = {"type": kind, "target": check_target(mount.get("Target") or ""), **make(mount)}
    except InvalidArgument as error:
        what = f'invalid mount config for type "{kind}": {error.what}'
        raise InvalidArgument(what, error.which, error.hint) from error
    if mount.get("ReadOnly"):
        entry["readonly"] = True
    return entry


def _bind_entry(mount: Json) -> Json:
    source, options = mount.get("Source") or "", mount.get("BindOptions") or {}
    if not source:
        raise InvalidArgument("field Source must not be empty")
    entry: Json = {"source": _check_source(source)}
    propagation = options.get("Propagation")
    if propagation:
        if propagation not in PROPAGATIONS:
            raise InvalidArgument(f"invalid propagation mode: {propagation}", hint=f"one of {', '.join(PROPAGATIONS)}")
        entry["propagation"] = propagation
    for key, word in (("NonRecursive", "disabled"), ("ReadOnlyForceRecursive", "readonly")):
        if options.get(key):
            entry["recursive"] = word
    if options.get("ReadOnlyForceRecursive") and not mount.get("ReadOnly"):
        raise InvalidArgument("mount source must be read-only for bind-recursive=readonly", hint="add readonly")
    if options.get("CreateMountpoint"):
        entry["create"] = True
    return entry


def _volume_entry(mount: Json) -> Json:
    source, options = mount.get("Source") or "", mount.get("VolumeOptions") or {}
    entry: Json = {"volume": check_volume_name(source) if source else ""}
    if not source:
        entry["anonymous"] = True
    driver = options.get("DriverConfig") or {}
    for key, value in (
        ("nocopy", options.get("NoCopy")),
        ("labels", options.get("Labels")),
        ("driver", driver.get("Name")),
        ("options", driver.get("Options")),
        ("subpath", check_subpath(options.get("Subpath") or "")),
    ):
        if value:
            entry[key] = value
    if not source and "subpath" in entry:
        raise InvalidArgument("must not set Subpath when using anonymous volumes")
    return entry


def _tmpfs_entry(mount: Json) -> Json:
    if mount.get("Source"):
        raise InvalidArgument("field Source must not be specified")
    options = mount.get("TmpfsOptions") or {}
    result = ["noexec", "nosuid", "nodev"]
    size, mode = options.get("SizeBytes") or 0, options.get("Mode") or 0
    if size < 0 or not 0 <= mode <= 0o7777:
        raise InvalidArgument("tmpfs-size must not be negative, tmpfs-mode lies between 0 and 7777")
    if size:
        result.append(f"size={size}")
    if mode:
        result.append(f"mode={mode:o}")
    return {"options": result}


def _image_entry(mount: Json) -> Json:
    if not mount.get("Source"):
        raise InvalidArgument("field Source must not be empty")
    subpath = check_subpath((mount.get("ImageOptions") or {}).get("Subpath") or "")
    return {"source": mount["Source"], **({"subpath": subpath} if subpath else {})}


_ENTRIES: dict[str, Callable[[Json], Json]] = {
    BIND: _bind_entry,
    VOLUME: _volume_entry,
    TMPFS: _tmpfs_entry,
    IMAGE: _image_entry,
}


_TMPFS_FLAGS = (
    "defaults ro rw suid nosuid dev nodev exec noexec sync async remount dirsync mand nomand atime noatime diratime "
    "nodiratime bind rbind relatime norelatime strictatime nostrictatime private rprivate shared rshared slave rslave "
    "unbindable runbindable swap noswap"
).split()
_TMPFS_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge", "inode32", "inode64")


def entry_of_tmpfs(target: str, options: str) -> Json:
    """An entry for one of ``HostConfig.Tmpfs``: what is not allowed explicitly is forbidden on it."""
    given = [option for option in options.split(",") if option]
    for option in given:
        key, equals, _ = option.partition("=")
        if key not in _TMPFS_VALUES if equals else option not in (*_TMPFS_FLAGS, "inode32", "inode64"):
            raise InvalidArgument(f"Invalid tmpfs option {options}", hint=f'a tmpfs has no option "{option}"')
    defaults = [word for word in ("noexec", "nosuid", "nodev") if word.removeprefix("no") not in given]
    kept = [option for option in given if option not in (*defaults, "ro", "rw", "defaults")]
    entry: Json = {"type": TMPFS, "target": check_target(target), "options": [*defaults, *kept]}
    if "ro" in given:
        entry["readonly"] = True
    return entry


def inherited(entries: Iterable[Json], access: str) -> list[Json]:
    """What ``--volumes-from`` takes over from another container's entries; ``access`` as `parse_volumes_from` says.

    An anonymous volume has its name by now, and stays one: the last container that is removed with it takes it along.
    """
    result = []
    for entry in entries:
        if entry["type"] not in (BIND, VOLUME):
            continue
        copy = {key: value for key, value in entry.items() if key not in ("remove", "options", "labels", "driver")}
        copy["nocopy"] = True  # what there was to copy came with the first container
        if access == "ro":  # "rw" does not open, here as in Docker, what the other container may only read
            copy["readonly"] = True
        result.append(copy)
    return result


_FIELDS: dict[str, type] = {
    "type": str, "target": str, "readonly": bool, "propagation": str, "recursive": str, "source": str, "create": bool,
    "volume": str, "anonymous": bool, "remove": bool, "nocopy": bool, "subpath": str, "driver": str, "labels": dict,
    "snapshotter": str, "mode": str, "snapshot": str,
}  # fmt: skip


def checked(document: object) -> list[Json]:
    """Entries that came from a client, as they are kept. Raises InvalidArgument saying what is wrong with which."""
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        raise InvalidArgument("container mounts", hint="the extension must hold a JSON list of objects")
    result = [_checked(dict(entry)) for entry in document]
    refuse_duplicates(result)
    return result


def refuse_duplicates(entries: Iterable[Json]) -> None:
    """Raise InvalidArgument when two entries have one target."""
    seen: set[str] = set()
    for entry in entries:
        if entry["target"] in seen:
            raise InvalidArgument(f"Duplicate mount point: {entry['target']}", hint="give each target once")
        seen.add(entry["target"])


def _checked(entry: Json) -> Json:
    for key, value in entry.items():
        wanted = _FIELDS.get(key)
        if key == "options":
            wanted = dict if entry.get("type") == VOLUME else list
        if wanted is None or not isinstance(value, wanted):
            raise InvalidArgument("container mounts", key, "there is no such field, or its value is of another kind")
    if entry.get("type") not in _ENTRIES:
        raise InvalidArgument("type of a container's mount", entry.get("type", ""), "bind, volume, tmpfs or image")
    texts = [*(entry.get("options") or ()), *(entry.get("labels") or ())]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidArgument("container mounts", "options", "options and labels are strings")
    entry["target"] = check_target(entry.get("target") or "")
    entry["subpath"] = check_subpath(entry.get("subpath") or "")
    if entry["type"] == BIND:
        entry["source"] = _check_source(entry.get("source", ""))
    if entry["type"] == VOLUME and entry.get("volume"):
        check_volume_name(entry["volume"])
    if entry.get("propagation", "rprivate") not in PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation mode: {entry['propagation']}")
    return {key: value for key, value in entry.items() if value not in ("", False, None) or key == "volume"}


# -- the parts --

_NAME_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_NAME_REST = _NAME_FIRST + "_.-"
_LONGEST_NAME = 255


def check_volume_name(name: str) -> str:
    """Return ``name``; raise InvalidArgument, in Docker's words, for one that cannot be a volume's."""
    if len(name) == 1:
        raise InvalidArgument("volume name is too short, names should be at least two alphanumeric characters")
    if not name or name[0] not in _NAME_FIRST or name.strip(_NAME_REST):
        raise InvalidArgument(
            f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are'
            " allowed. If you intended to pass a host directory, use absolute path"
        )
    if len(name) > _LONGEST_NAME:
        raise InvalidArgument("volume name", name[:40] + "…", f"it is longer than {_LONGEST_NAME} characters")
    return name


def check_target(path: str) -> str:
    """The cleaned path of a mount in the container. Raises InvalidArgument."""
    if not path:
        raise InvalidArgument("field Target must not be empty")
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")
    if "\0" in path:
        raise InvalidArgument("mount path", path, "it holds a NUL byte")
    clean = clean_path(path)
    if clean == "/":
        raise InvalidArgument("invalid specification: destination can't be '/'")
    return clean


def _check_source(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")
    return clean_path(path)


def check_subpath(path: str) -> str:
    """The cleaned path below a volume's top, "" for the top. Raises InvalidArgument for one that leads out."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise InvalidArgument(f"subpath must be a relative path within the volume: '{path}'")
    return "/".join(part for part in parts if part not in ("", "."))


def clean_path(path: str) -> str:
    """``path`` without ``.``, ``..``, doubled and trailing slashes; what stands above the root is the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def options_of(entry: Json) -> list[str]:
    """The options of an entry's mount in the OCI spec. An image's is read-only whatever the entry says: what is mounted
    may be the very layer that other containers stand on, and "rw" would undo that its view is read-only."""
    if entry["type"] == IMAGE:
        return ["rbind", entry.get("propagation") or "rprivate", "ro"]
    if entry["type"] == TMPFS:
        return [*entry.get("options", ()), "ro" if entry.get("readonly") else "rw"]
    recursive = entry.get("recursive", "")
    access = ("rro" if recursive == "readonly" else "ro") if entry.get("readonly") else "rw"
    return ["bind" if recursive == "disabled" else "rbind", entry.get("propagation") or "rprivate", access]


def shown(entries: Iterable[Json], mountpoint: Callable[[str], str]) -> list[Json]:
    """Docker's ``Mounts`` of an inspected container; ``mountpoint(volume)`` is asked for where a volume lies."""
    result = []
    for entry in entries:
        kind = entry["type"]
        item: Json = {"Type": kind}
        if kind == VOLUME:
            item["Name"], item["Source"] = entry["volume"], mountpoint(entry["volume"])
            item["Driver"] = entry.get("driver") or "local"
        else:
            item["Source"] = entry.get("source", "")
        named = kind == VOLUME and not entry.get("anonymous")
        item["Destination"], item["Mode"] = entry["target"], entry.get("mode", "z" if named else "")
        item["RW"] = not entry.get("readonly") and kind != IMAGE
        item["Propagation"] = (entry.get("propagation") or "rprivate") if kind == BIND else ""
        if kind != TMPFS:
            result.append(item)
    return sorted(result, key=lambda item: str(item["Destination"]))
