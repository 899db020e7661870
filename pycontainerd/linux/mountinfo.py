"""/proc/self/mountinfo (proc_pid_mountinfo(5)): the mounts of this mount namespace."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class MountPoint:
    """One line of mountinfo. ``device`` is (major, minor), ``propagation`` the optional fields such as `shared:3`."""

    __slots__ = (
        "device",
        "mount_id",
        "mount_point",
        "options",
        "parent_id",
        "propagation",
        "root",
        "source",
        "super_options",
        "type",
    )

    def __init__(self, line: str) -> None:
        """Parse one line. Raises ValueError when it is none."""
        before, dash, after = line.partition(" - ")
        head, tail = before.split(" "), after.split(" ")
        if not dash or len(head) < 6 or len(tail) < 3:
            raise ValueError(f"not a line of mountinfo: {line!r}")
        self.mount_id, self.parent_id = int(head[0]), int(head[1])
        major, _, minor = head[2].partition(":")
        self.device = (int(major), int(minor))
        self.root = unescape(head[3])
        self.mount_point = unescape(head[4])
        self.options = head[5].split(",")
        self.propagation = head[6:]
        self.type, self.source = unescape(tail[0]), unescape(tail[1])
        self.super_options = [unescape(option) for option in " ".join(tail[2:]).split(",")]

    def __repr__(self) -> str:
        return f"MountPoint({self.mount_point!r}, type={self.type!r}, source={self.source!r})"


def unescape(text: str) -> str:
    """Undo the kernel's octal escapes (`\\040` for a space and the like); bytes above 127 are left as they are."""
    if "\\" not in text:
        return text
    first, *others = text.split("\\")
    parts = [first]
    for part in others:
        code = part[:3]
        if len(code) == 3 and code[0] in "0123" and all(digit in "01234567" for digit in code):
            parts.append(os.fsdecode(bytes([int(code, 8)])) + part[3:])
        else:
            parts.append("\\" + part)
    return "".join(parts)


def parse(text: str) -> Iterator[MountPoint]:
    """The mounts of a mountinfo text, in its order (parents before children, older before newer)."""
    for line in text.split("\n"):
        if line:
            yield MountPoint(line)


def read(path: str = "/proc/self/mountinfo") -> list[MountPoint]:
    """All mounts this process sees. Raises OSError when /proc is not there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(descriptor, 1 << 16):
            chunks.append(chunk)
    finally:
        os.close(descriptor)
    return list(parse(os.fsdecode(b"".join(chunks))))


def below(directory: str) -> list[str]:
    """The mount points strictly below ``directory`` (a real path), deepest first."""
    prefix = directory.rstrip("/") + "/"
    points = [point.mount_point for point in read() if point.mount_point.startswith(prefix)]
    return sorted(points, key=lambda point: point.count("/"), reverse=True)


def is_mount_point(path: str) -> bool:
    """Whether something is mounted right on ``path``."""
    real = os.path.realpath(path)
    return any(point.mount_point == real for point in read())


def covering(path: str) -> MountPoint:
    """The mount that ``path`` lies on. Raises OSError for a path that does not exist."""
    real = os.path.realpath(path, strict=True)
    best: MountPoint | None = None
    for point in read():
        inside = real == point.mount_point or real.startswith(point.mount_point.rstrip("/") + "/")
        if inside and (best is None or len(point.mount_point) >= len(best.mount_point)):
            best = point
    if best is None:
        raise OSError(2, "no mount covers the path", path)
    return best
