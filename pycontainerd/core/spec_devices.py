"""Devices of a container: which it may open, and which it finds in /dev beside the standard ones."""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Json = dict[str, Any]

_OPENABLE = (
    ("c", 1, 3),  # null
    ("c", 1, 5),  # zero
    ("c", 1, 7),  # full
    ("c", 1, 8),  # random
    ("c", 1, 9),  # urandom
    ("c", 5, 0),  # tty
    ("c", 5, 1),  # console
    ("c", 5, 2),  # ptmx
    ("c", 136, None),  # pts/*
)


class Device:
    """A device node on the host. ``kind`` is ``b`` or ``c``; ``path`` is where it shows in the container."""

    __slots__ = ("access", "gid", "kind", "major", "minor", "mode", "path", "uid")

    def __init__(self, path: str, kind: str, major: int, minor: int, *, mode: int, owner: tuple[int, int]) -> None:
        self.path, self.kind, self.major, self.minor, self.mode = path, kind, major, minor, mode
        self.uid, self.gid = owner
        self.access = "rwm"


def parse_device(text: str) -> Json:
    """``/dev/sda[:/dev/xvda][:rwm]`` as an entry of ``HostConfig.Devices``. Raises InvalidArgument."""
    parts = text.split(":")
    host, target, access = parts[0], parts[0], "rwm"
    if len(parts) == 2:
        if parts[1].startswith("/"):
            target = parts[1]
        else:
            access = parts[1]
    elif len(parts) == 3:
        target, access = parts[1:]
    if not host.startswith("/") or not target.startswith("/") or len(parts) > 3 or not _is_access(access):
        raise InvalidArgument("--device", text, "give /dev/x, /dev/x:/dev/y or /dev/x:/dev/y:rwm")
    return {"PathOnHost": host, "PathInContainer": target, "CgroupPermissions": access}


def parse_rule(text: str) -> Json:
    """``c 189:* rmw`` as a device rule of the spec. Raises InvalidArgument."""
    fields = text.split()
    numbers = fields[1].split(":") if len(fields) == 3 else []
    valid = len(numbers) == 2 and all(number == "*" or number.isdigit() for number in numbers)
    if not valid or fields[0] not in ("a", "b", "c") or not _is_access(fields[2]):
        raise InvalidArgument("--device-cgroup-rule", text, "give a rule such as c 189:* rmw")
    major, minor = (None if number == "*" else int(number) for number in numbers)
    return _rule(fields[0], major, minor, fields[2])


def _is_access(text: str) -> bool:
    return bool(text) and not text.strip("rwm") and len(set(text)) == len(text)


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> Json:
    rule: Json = {"allow": True, "type": kind, "access": access}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


def cgroup_rules(devices: Sequence[Device], rules: Sequence[str] = (), *, privileged: bool = False) -> list[Json]:
    """``linux.resources.devices``: nothing but the standard devices and those given; everything when privileged."""
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    result: list[Json] = [{"allow": False, "access": "rwm"}]
    result += [_rule(kind, None, None, "m") for kind in "cb"]  # making a node is harmless, opening it is not
    result += [_rule(kind, major, minor, "rwm") for kind, major, minor in _OPENABLE]
    result += [_rule(device.kind, device.major, device.minor, device.access) for device in devices]
    return result + [parse_rule(text) for text in rules]


def nodes(devices: Sequence[Device]) -> list[Json]:
    """``linux.devices``."""
    return [
        {
            "path": device.path,
            "type": device.kind,
            "major": device.major,
            "minor": device.minor,
            "fileMode": device.mode,
            "uid": device.uid,
            "gid": device.gid,
        }
        for device in devices
    ]
