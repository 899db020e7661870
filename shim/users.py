"""User names of an OCI process, looked up in the container's own files.

Our client leaves Docker's user string in `process.user.username`: `name`, `uid`, `name:group`, `uid:gid`. What
the names mean is in the image, so it can only be known once its root filesystem is there. Files of an image are
hostile: they are opened as if the root filesystem were `/`, must be regular, and are read up to a limit.
"""

from __future__ import annotations

import os
import stat

from pycontainerd.linux.openat2 import open_in_root
from shim.errors import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

GROUP_ADD = "io.pycontainerd.group-add"
"""Annotation: further groups of the process, names or numbers joined by commas."""

_FILE_LIMIT = 1 << 20
_MAX_ID = (1 << 31) - 1
_MAX_GROUPS = 65536


def resolve(process: dict[str, Any], rootfs: str, group_add: str = "") -> bool:
    """Replace `user.username` of an OCI process by numbers, in place; whether there was anything to replace.

    Sets uid, gid and additionalGids, and HOME in the environment if it is not there. Raises RpcError
    INVALID_ARGUMENT for a user or group that the container does not have.
    """
    user = process.get("user")
    name = user.get("username") if isinstance(user, dict) else None
    if not isinstance(user, dict) or not isinstance(name, str) or not name:
        return False
    try:
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise invalid(f"unable to find user {name}: {rootfs}: {error.strerror}") from None
    try:
        found = lookup(name, _read(root, b"etc/passwd"), _read(root, b"etc/group"), group_add)
    finally:
        os.close(root)
    del user["username"]
    user["uid"], user["gid"] = found.uid, found.gid
    groups = user.get("additionalGids")
    known = [int(gid) for gid in groups] if isinstance(groups, list) else []
    merged = known + [gid for gid in found.groups if gid not in known]
    if merged:
        user["additionalGids"] = merged
    _set_home(process, found.home)
    return True


class Found:
    """What a user string means."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def lookup(wanted: str, passwd: str, group: str, group_add: str = "") -> Found:
    """What a user string means under these /etc/passwd and /etc/group, as Docker reads them.

    A number needs no entry; its group is then 0. An explicit group replaces the user's own one and its supplementary
    ones. Raises RpcError INVALID_ARGUMENT.
    """
    user, colon, group_part = wanted.partition(":")
    entry = _passwd_entry(user, passwd)
    if entry is None:
        uid = _number(user)
        if uid is None:
            raise invalid(f"unable to find user {user}: no matching entries in passwd file")
        name, gid, home = "", 0, "/"
    else:
        name, uid, gid, home = entry
    groups: list[int] = []
    if colon and group_part:
        gid = _group_id(group_part, group)
    elif name:
        groups = [number for _, number, members in _groups(group) if name in members and number != gid]
    for extra in group_add.split(","):
        if extra.strip():
            groups.append(_group_id(extra.strip(), group))
    # The primary group is among the supplementary ones, as after login(1): a process that changes its primary group
    # must not get past permissions that are denied to it (CVE-2022-36109).
    return Found(uid, gid, list(dict.fromkeys([gid, *groups]))[:_MAX_GROUPS], home or "/")


def _passwd_entry(user: str, passwd: str) -> tuple[str, int, int, str] | None:
    """The first entry with this name, or with this number if the user is given as one."""
    number = _number(user)
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) < 6:
            continue
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is None or gid is None:
            continue
        if (user and fields[0] == user) or uid == (0 if not user else number):
            return fields[0], uid, gid, fields[5]
    return None


def _groups(group: str) -> Iterator[tuple[str, int, list[str]]]:
    for line in group.splitlines():
        fields = line.split(":")
        gid = _number(fields[2]) if len(fields) >= 4 else None
        if gid is not None:
            yield fields[0], gid, [member for member in fields[3].split(",") if member]


def _group_id(wanted: str, group: str) -> int:
    for name, gid, _ in _groups(group):
        if name == wanted:
            return gid
    number = _number(wanted)
    if number is None:
        raise invalid(f"unable to find group {wanted}: no matching entries in group file")
    return number


def _number(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or int(text[:11]) > _MAX_ID or len(text) > 10:
        return None
    return int(text)


def _read(root: int, path: bytes) -> str:
    """A regular file of the container, "" when there is none; what is beyond the limit is not looked at."""
    try:
        fd = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        chunks: list[bytes] = []
        left = _FILE_LIMIT
        while left > 0 and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _set_home(process: dict[str, Any], home: str) -> None:
    environment = process.get("env")
    if not isinstance(environment, list):
        environment = process["env"] = []
    if not any(isinstance(item, str) and item.startswith("HOME=") for item in environment):
        environment.append(f"HOME={home}")
